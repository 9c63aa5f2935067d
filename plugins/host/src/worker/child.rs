//! The worker process: locks itself in, loads the library, makes the instance, serves the lanes.

#![allow(unsafe_code)] // Takes over descriptors by their numbers, and ends without running what the library left for the end.

use std::io::{self, Read};
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wire::{self, Call, Cancel, Done, Heard, Hello, Name, News, Said};
use crate::call::CancelFlag;
use crate::collect::Accepts;
use crate::ear::Ear;
use crate::manifest;
use crate::native::{Function, Native, Recipe};
use crate::services::Services;
use crate::sink::Sinks;
use crate::strings::c_string;
use crate::{library, sandbox};

/// Longest line of the log that is passed on.
const LINE: usize = 16 << 10;

/// The worker: serves the host, `parent`, over the sockets of these numbers, the control socket first, with the library
/// as standard input. For nothing but the host's own hidden command. Ends with the host.
#[must_use]
pub fn worker_child_main(parent: u32, sockets: &[i32]) -> ExitCode {
    let mut sockets = match sockets.iter().map(|number| take_over(*number)).collect::<io::Result<Vec<_>>>() {
        Ok(sockets) if !sockets.is_empty() => sockets,
        Ok(_) => return failed("no sockets were given"),
        Err(error) => return failed(&format!("the sockets cannot be used: {error}")),
    };
    let lanes = sockets.split_off(1);
    let Some(control) = sockets.pop().map(Arc::new) else { return ExitCode::FAILURE };
    let (hello, _) = match sandbox::die_with(parent).and_then(|()| wire::receive::<Hello>(&mut &*control)) {
        Ok(hello) => hello,
        Err(error) => return failed(&format!("the host said nothing: {error}")),
    };
    let voice = Voice(Arc::new(Mutex::new(Arc::clone(&control))));
    match begin(&hello, &voice) {
        Ok(instance) => serve(instance, lanes, &control),
        Err(reason) => {
            voice.say(&News::Failed { reason });
            ExitCode::FAILURE
        }
    }
}

fn failed(words: &str) -> ExitCode {
    eprintln!("this command is for the host of plugins only: {words}");
    ExitCode::FAILURE
}

/// Takes over a descriptor that the host left open for this process.
fn take_over(number: RawFd) -> io::Result<UnixStream> {
    // SAFETY: asks and changes the flags of a number; one that is not open is an error.
    if number <= libc::STDERR_FILENO || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: open, and named to this process to be its own.
    Ok(unsafe { UnixStream::from_raw_fd(number) })
}

/// Speaks to the host beside the calls.
#[derive(Clone)]
struct Voice(Arc<Mutex<Arc<UnixStream>>>);

impl Voice {
    fn say(&self, news: &News) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A host that is gone ends this process.
        let _ = wire::send(&mut &**socket, news, &[]);
    }
}

impl Ear for Voice {
    fn log(&self, level: i32, message: &str) {
        let message = message[..message.floor_char_boundary(LINE)].to_owned();
        self.say(&News::Log { level, message });
    }

    fn fault(&self, fault: &str) {
        self.say(&News::Fault { fault: fault.to_owned() });
    }
}

/// The instance with what its calls need.
struct Instance {
    native: Native,
    sinks: &'static Sinks,
}

/// Locks this process in and makes the instance in it.
fn begin(hello: &Hello, voice: &Voice) -> Result<Arc<Instance>, String> {
    let gaps = hello.sandbox.enter()?;
    let manifest = manifest::parse(&hello.manifest).map_err(|error| error.to_string())?;
    let functions = library::load(Path::new("/proc/self/fd/0")).map_err(|error| error.to_string())?;
    if functions.manifest().map_err(|error| error.to_string())? != hello.manifest {
        return Err("the manifest is another one than in the scanning child".to_owned());
    }
    let sinks = Sinks::leak(Box::new(voice.clone()));
    let recipe = Recipe {
        functions,
        services: Services::leak(Box::new(voice.clone()), hello.threads),
        sinks,
        space: hello.space.clone(),
        width: hello.width,
        cache_dir: hello.cache_dir.clone(),
        settings: hello.settings.clone(),
    };
    let native = Native::create(&recipe, &manifest)?;
    voice.say(&News::Ready { line: native.status(), gaps });
    Ok(Arc::new(Instance { native, sinks }))
}

/// Serves until the host closes the control socket.
fn serve(instance: Arc<Instance>, lanes: Vec<UnixStream>, control: &UnixStream) -> ExitCode {
    let switches: Vec<Arc<Switch>> = lanes.iter().map(|_| Arc::default()).collect();
    let mut threads = Vec::new();
    for (lane, switch) in lanes.into_iter().zip(&switches) {
        let (instance, switch, lane) = (Arc::clone(&instance), Arc::clone(switch), Arc::new(lane));
        let started = std::thread::Builder::new()
            .name("plugin-call".to_owned())
            .spawn(move || while serve_call(&instance, &lane, &switch).is_ok() {});
        match started {
            Ok(thread) => threads.push(thread),
            Err(error) => return failed(&format!("starting a thread: {error}")),
        }
    }
    while let Ok((cancel, _)) = wire::receive::<Cancel>(&mut &*control) {
        if let Some(switch) = switches.get(cancel.lane) {
            switch.cancel(cancel.call);
        }
    }
    for thread in threads {
        // A lane whose thread panicked has served its last call, too.
        let _ = thread.join();
    }
    drop(instance);
    // SAFETY: ends the process at once: what libraries do at an orderly end is of no use here, and may crash.
    unsafe { libc::_exit(0) }
}

/// The flag of the call that runs on a lane. A word about it may come before the call does, or after it.
#[derive(Default)]
struct Switch(Mutex<Cancelling>);

#[derive(Default)]
struct Cancelling {
    running: Option<(u64, CancelFlag)>,
    /// The last call that was cancelled.
    cancelled: u64,
}

impl Switch {
    fn lock(&self) -> MutexGuard<'_, Cancelling> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, call: u64) -> CancelFlag {
        let (flag, mut state) = (CancelFlag::new(), self.lock());
        if state.cancelled == call {
            flag.cancel();
        }
        state.running = Some((call, flag.clone()));
        flag
    }

    fn cancel(&self, call: u64) {
        let mut state = self.lock();
        state.cancelled = call;
        if let Some((running, flag)) = &state.running
            && *running == call
        {
            flag.cancel();
        }
    }
}

/// Takes one call off a lane and answers it.
fn serve_call(instance: &Instance, lane: &Arc<UnixStream>, switch: &Switch) -> io::Result<()> {
    let (call, length) = wire::receive::<Call>(&mut &**lane)?;
    let length = usize::try_from(length).map_err(io::Error::other)?;
    // Numbers, so that samples are aligned.
    let mut input = vec![0.0_f32; length.div_ceil(size_of::<f32>())];
    let input = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut input)[..length];
    (&**lane).read_exact(input)?;
    let (done, values) = run(instance, &call, input, lane, &switch.begin(call.call));
    wire::send(&mut &**lane, &Said::Done(done), bytemuck::cast_slice(&values))
}

fn run(
    instance: &Instance,
    call: &Call,
    input: &[u8],
    lane: &Arc<UnixStream>,
    cancel: &CancelFlag,
) -> (Done, Vec<f32>) {
    let accepts = match (call.function, call.expected) {
        (Name::Transcribe | Name::JobKinds | Name::PrepareJob, _) => Accepts::Text(reader(Arc::clone(lane))),
        (Name::Encode | Name::Features, Some(expected)) => Accepts::Tensor(expected),
        (Name::Encode | Name::Features, None) => Accepts::Nothing,
    };
    let options = c_string(&call.options);
    let function = match call.function {
        Name::Encode => Function::Encode,
        Name::Features => Function::Features,
        Name::Transcribe => Function::Transcribe { options: &options },
        Name::JobKinds => Function::JobKinds,
        Name::PrepareJob => Function::PrepareJob,
    };
    let sink = instance.sinks.open(accepts, cancel);
    let status = instance.native.call(&function, &call.input.with(input), &sink);
    let collected = sink.close();
    let rows = collected.rows;
    let shape = rows.as_ref().map(|rows| [rows.positions as i64, rows.width as i64]);
    let done = Done {
        status,
        failure: collected.failure,
        rejection: collected.rejection,
        language: collected.language,
        shape,
        line: instance.native.status(),
    };
    (done, rows.map(|rows| rows.values).unwrap_or_default())
}

/// Passes segments on and waits for what the host's reader says: so a slow reader slows the plugin down.
fn reader(lane: Arc<UnixStream>) -> crate::collect::Reader {
    Box::new(move |segment| {
        let said = Said::Segment(segment.clone());
        let heard = wire::send(&mut &*lane, &said, &[]).and_then(|()| wire::receive::<Heard>(&mut &*lane));
        heard.is_ok_and(|(heard, _)| heard.wanted)
    })
}
