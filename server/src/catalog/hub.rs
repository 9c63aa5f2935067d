//! Files of the model hub, over HTTPS, resumed where an earlier fetch ended.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::{Error, Progress};

/// Names resolve and connections open within this time, or the next source is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A transfer that stands still for this long has failed.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// One hub, given up for the rest of the run once it could not be reached.
#[derive(Debug)]
pub(super) struct Hub {
    base: String,
    agent: ureq::Agent,
    unreachable: bool,
}

impl Hub {
    pub(super) fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_resolve(Some(CONNECT_LIMIT))
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(STALL_LIMIT))
            .timeout_per_read(Some(STALL_LIMIT))
            .http_status_as_error(false)
            .build();
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into(), unreachable: false }
    }

    /// Fetches a file into `part`, behind the bytes that are already there. `bytes` is the length it must have, when it
    /// is known: another length is refused before the transfer.
    pub(super) fn fetch(
        &mut self,
        repository: &str,
        revision: &str,
        file: &str,
        part: &Path,
        bytes: Option<u64>,
    ) -> Result<(), Error> {
        let url = format!("{}/{repository}/resolve/{revision}/{file}", self.base);
        let hub_error = |message: String| Error::Hub { url: url.clone(), message };
        if self.unreachable {
            return Err(hub_error("the hub could not be reached before".to_owned()));
        }
        let have = std::fs::metadata(part).map_or(0, |meta| meta.len());
        let mut request = self.agent.get(&url);
        if have > 0 {
            request = request.header("range", format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| {
            self.unreachable = true;
            hub_error(error.to_string())
        })?;
        let status = response.status().as_u16();
        let start = match status {
            200 => 0,
            206 => have,
            416 if bytes == Some(have) => return Ok(()),
            416 => {
                std::fs::remove_file(part).map_err(Error::io(part))?;
                return Err(hub_error(
                    "the part kept from an earlier fetch was too long; try again".to_owned(),
                ));
            }
            _ => return Err(hub_error(format!("status {status}"))),
        };
        let total = response.body().content_length().map(|rest| start + rest);
        if let (Some(expected), Some(found)) = (bytes, total)
            && expected != found
        {
            return Err(hub_error(format!("{found} bytes, expected {expected}")));
        }
        let out = open(part, start)?;
        let mut progress = Progress::new(file.to_owned(), total);
        progress.add(start);
        copy(response.into_body().into_reader(), out, &mut progress)
            .map_err(|error| hub_error(format!("the transfer broke off ({error}); run again to resume")))?;
        progress.finish();
        Ok(())
    }
}

fn open(part: &Path, start: u64) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.create(true);
    if start == 0 {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    options.open(part).map_err(Error::io(part))
}

fn copy(mut from: impl Read, mut to: File, progress: &mut Progress) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return to.sync_all();
        }
        to.write_all(&buffer[..n])?;
        progress.add(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;

    use super::*;

    /// Serves `body` with range support on a socket of its own until it has answered `requests` times.
    fn serve(body: &'static [u8], requests: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                let lines: Vec<String> = std::io::BufReader::new(&stream)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let start = lines
                    .iter()
                    .find_map(|line| {
                        line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                    })
                    .unwrap_or(0usize);
                let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
                let rest = &body[start..];
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    rest.len()
                )
                .unwrap();
                stream.write_all(rest).unwrap();
            }
        });
        base
    }

    #[test]
    fn a_fetch_resumes_behind_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("x.part");
        std::fs::write(&part, b"0123").unwrap();
        let mut hub = Hub::new(&serve(b"0123456789", 1));
        hub.fetch("a/b", "main", "x", &part, Some(10)).unwrap();
        assert_eq!(std::fs::read(&part).unwrap(), b"0123456789");
    }

    #[test]
    fn a_wrong_length_is_refused_before_the_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("x.part");
        let mut hub = Hub::new(&serve(b"0123456789", 1));
        let error = hub.fetch("a/b", "main", "x", &part, Some(11)).unwrap_err().to_string();
        assert!(error.contains("10 bytes, expected 11"), "{error}");
        assert!(!part.exists());
    }

    #[test]
    fn a_hub_that_is_away_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut hub = Hub::new(&format!("http://{closed}"));
        let part = folder.path().join("x.part");
        hub.fetch("a/b", "main", "x", &part, None).unwrap_err();
        let error = hub.fetch("a/b", "main", "y", &part, None).unwrap_err().to_string();
        assert!(error.contains("could not be reached before"), "{error}");
    }
}
