//! The thread that starts a worker and stays with it until it has ended: hears what it says beside its calls, looks at
//! its memory, and knows why it died.

#![allow(unsafe_code)] // Hands sockets over to a child, waits for several streams at once, ends a group of processes.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::news::Inbox;
use super::output::{Allowance, Lines};
use super::wire::News;
use super::{Start, WORKER_COMMAND, environment, memory};
use crate::child::{said, words};
use crate::ear::{Ear, ServerLog};
use crate::faults::Faults;

/// How often a worker's memory is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long the end of a process that was told to end, or whose sockets have closed, may take.
const ENDING: Duration = Duration::from_secs(5);
const FLOOD: &str = "it flooded its output: more than 4 MiB at once, or 256 KiB a second";

/// The host's hold on a worker.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    ready: Mutex<Receiver<Ready>>,
}

/// The status line and the sandbox's gaps of a worker that is ready, or why it is not.
type Ready = Result<(String, String), String>;

/// What both sides know.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The group of the process, until it is gone.
    group: Option<i32>,
    /// Why the host ended it.
    sentence: Option<String>,
    /// How it ended.
    death: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process; of several reasons the first counts.
    fn end(&self, reason: &str) {
        let mut state = self.lock();
        state.sentence.get_or_insert_with(|| reason.to_owned());
        if let Some(group) = state.group {
            kill(group);
        }
    }
}

fn kill(group: i32) {
    // SAFETY: sends a signal to the group whose leader is a child that nobody has waited for yet.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

impl Keeper {
    /// Starts a worker. `control` is the host's end of the first of `sockets`, which the worker gets.
    pub(super) fn start(
        start: &Start,
        library: File,
        control: UnixStream,
        sockets: Vec<OwnedFd>,
        faults: Arc<Faults>,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let (ready_sender, ready) = channel();
        let (started, starts) = channel();
        let (theirs, start) = (Arc::clone(&shared), start.clone());
        let watch = move || {
            // On this thread, for the worker ends with the thread that started it.
            let child = spawn(&start, library, &sockets);
            drop(sockets);
            match child {
                Ok(child) => {
                    theirs.lock().group = Some(child.id().cast_signed());
                    if started.send(Ok(())).is_ok() {
                        Watch::new(&start, child, control, theirs, ready_sender, faults).run();
                    }
                }
                Err(error) => {
                    let words = format!("starting {} {WORKER_COMMAND}: {error}", start.exe.display());
                    // Whoever asked waits for this.
                    let _ = started.send(Err(words));
                }
            }
        };
        std::thread::Builder::new()
            .name("plugin-keeper".to_owned())
            .spawn(watch)
            .map_err(|error| format!("starting a thread: {error}"))?;
        starts.recv().unwrap_or_else(|_| Err("the thread that starts workers ended early".to_owned()))?;
        Ok(Self { shared, ready: Mutex::new(ready) })
    }

    /// Waits until the instance is made.
    pub(super) fn ready(&self, limit: Duration) -> Ready {
        let answer = self.ready.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(limit);
        match answer {
            Ok(ready) => ready,
            Err(RecvTimeoutError::Timeout) => {
                Err(self.end(&format!("it hung: no instance within {} s", limit.as_secs_f64())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.death_after("it ended early")),
        }
    }

    /// How the worker ended, if it has.
    pub(super) fn death(&self) -> Option<String> {
        self.shared.lock().death.clone()
    }

    /// Ends the worker; the answer says how it ended.
    pub(super) fn end(&self, reason: &str) -> String {
        self.shared.end(reason);
        self.death_after(reason)
    }

    /// How a worker ended whose sockets have closed; `reason` if it has not, for then it is ended.
    pub(super) fn death_after(&self, reason: &str) -> String {
        let wait = |state| {
            let waited = self
                .shared
                .changed
                .wait_timeout_while(state, ENDING, |state: &mut State| state.death.is_none());
            waited.unwrap_or_else(PoisonError::into_inner).0.death.clone()
        };
        if let Some(death) = wait(self.shared.lock()) {
            return death;
        }
        self.shared.end(reason);
        wait(self.shared.lock()).unwrap_or_else(|| reason.to_owned())
    }
}

/// Starts the worker in a group of its own, with the sockets open under the numbers that its arguments name.
fn spawn(start: &Start, library: File, sockets: &[OwnedFd]) -> std::io::Result<Child> {
    let numbers: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let mut command = Command::new(&start.exe);
    command
        .arg(WORKER_COMMAND)
        .arg(std::process::id().to_string())
        .args(numbers.iter().map(ToString::to_string))
        .env_clear()
        .envs(environment())
        .env("TMPDIR", &start.folder)
        .stdin(Stdio::from(library))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let keep_open = move || {
        for number in &numbers {
            // SAFETY: an open descriptor of this process; only a flag of it is changed.
            if unsafe { libc::fcntl(*number, libc::F_SETFD, 0) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(keep_open) };
    command.spawn()
}

/// The thread's own state.
struct Watch {
    child: Child,
    control: UnixStream,
    inbox: Inbox,
    out: Lines,
    err: Lines,
    allowance: Allowance,
    memory: u64,
    held: u64,
    ear: ServerLog,
    faults: Arc<Faults>,
    ready: Option<Sender<Ready>>,
    shared: Arc<Shared>,
    next_look: Instant,
}

impl Watch {
    fn new(
        start: &Start,
        child: Child,
        control: UnixStream,
        shared: Arc<Shared>,
        ready: Sender<Ready>,
        faults: Arc<Faults>,
    ) -> Self {
        let now = Instant::now();
        Self {
            child,
            control,
            inbox: Inbox::default(),
            out: Lines::default(),
            err: Lines::default(),
            allowance: Allowance::new(now),
            memory: start.limits.memory,
            held: 0,
            ear: ServerLog(start.plugin.clone()),
            faults,
            ready: Some(ready),
            shared,
            next_look: now,
        }
    }

    fn run(mut self) {
        let control = self.control.as_raw_fd();
        let mut open = [
            Some(control),
            self.child.stdout.as_ref().map(AsRawFd::as_raw_fd),
            self.child.stderr.as_ref().map(AsRawFd::as_raw_fd),
        ];
        loop {
            let readable = wait_for(&open, TICK);
            for (at, place) in open.iter_mut().enumerate() {
                if readable[at] && !self.read(at) {
                    *place = None;
                }
            }
            if self.has_ended() {
                return;
            }
            self.look_at_memory();
        }
    }

    /// Reads what is there of one of the three streams; false once it has ended.
    fn read(&mut self, at: usize) -> bool {
        let mut bytes = vec![0; 1 << 16];
        let read = match at {
            0 => self.inbox.read(&self.control, &mut bytes),
            1 => self.child.stdout.as_mut().map_or(Ok(0), |stream| stream.read(&mut bytes)),
            _ => self.child.stderr.as_mut().map_or(Ok(0), |stream| stream.read(&mut bytes)),
        };
        let Ok(read) = read else { return true };
        if !self.allowance.take(read, Instant::now()) {
            self.shared.end(FLOOD);
        }
        let ear = &self.ear;
        let log = |line: &str| ear.log(jnana_plugin_abi::LOG_DEBUG, &format!("printed: {line}"));
        match at {
            0 => self.hear(),
            1 => self.out.push(&bytes[..read], log),
            _ => self.err.push(&bytes[..read], log),
        }
        read > 0
    }

    /// Acts on what came over the control socket.
    fn hear(&mut self) {
        loop {
            match self.inbox.next() {
                Ok(None) => return,
                Ok(Some(news)) => self.act(news),
                Err(error) => return self.shared.end(&format!("it broke the rules of workers: {error}")),
            }
        }
    }

    fn act(&mut self, news: News) {
        match news {
            News::Log { level, message } => self.ear.log(level, &message),
            News::Fault { fault } => {
                self.ear.fault(&fault);
                self.faults.note(&fault);
            }
            News::Ready { line, gaps } => self.answer(Ok((line, gaps))),
            News::Failed { reason } => self.answer(Err(reason)),
        }
    }

    fn answer(&mut self, answer: Ready) {
        if let Some(ready) = self.ready.take() {
            // Nobody listens any more when it took too long.
            let _ = ready.send(answer);
        }
    }

    fn look_at_memory(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + TICK;
        self.held = memory::of_process(self.child.id()).unwrap_or(self.held);
        if self.held > self.memory {
            let (held, most) = (self.held >> 20, self.memory >> 20);
            self.shared.end(&format!("it held {held} MiB of memory, more than its limit of {most} MiB"));
        }
    }

    /// Whether the process is gone; then everybody is told how it went.
    fn has_ended(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let ended = match self.child.try_wait() {
            Ok(None) => return false,
            Ok(Some(status)) => words(status),
            Err(error) => format!("waiting for it failed: {error}"),
        };
        // What it started is still of its group, and the number is not given anew while one of them lives.
        if let Some(group) = state.group.take() {
            kill(group);
        }
        let rest = self.last_words();
        let reason = state.sentence.take().unwrap_or(ended);
        state.death = Some(format!("{reason}{}{}", said(&rest), self.near_limit()));
        drop(state);
        shared.changed.notify_all();
        true
    }

    /// What stood last on standard error, with what is still in the pipe.
    fn last_words(&mut self) -> String {
        if let Some(stream) = self.child.stderr.as_mut()
            && wait_for(&[Some(stream.as_raw_fd())], Duration::ZERO)[0]
        {
            let mut bytes = vec![0; 1 << 16];
            let read = stream.read(&mut bytes).unwrap_or(0);
            self.err.push(&bytes[..read], |_| ());
        }
        self.err.tail()
    }

    /// A process that cannot have more memory ends in many ways; the size tells.
    fn near_limit(&self) -> String {
        if self.held <= self.memory && self.held / 3 >= self.memory / 4 {
            return format!("; it held {} of the {} MiB that it may", self.held >> 20, self.memory >> 20);
        }
        String::new()
    }
}

/// Waits until one of the streams can be read, or has ended, for at most `limit`.
fn wait_for<const N: usize>(streams: &[Option<RawFd>; N], limit: Duration) -> [bool; N] {
    // A negative number is passed over.
    let mut polled =
        streams.map(|stream| libc::pollfd { fd: stream.unwrap_or(-1), events: libc::POLLIN, revents: 0 });
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `N` structs of this function.
    unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, limit) };
    polled.map(|stream| stream.revents != 0)
}
