//! Server-sent events out of a byte stream (HTML standard, "Server-sent events", 9.2.6).

/// Collects bytes and gives back the `data` of every event that is whole.
///
/// Comments, `id`, `event` and `retry` are read over: the events here number themselves.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    after_cr: bool,
}

impl Parser {
    /// Takes the next bytes; chunks may end anywhere, in the middle of a character too.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field == "data" {
            if self.has_data {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
            self.has_data = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_events_come_out() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(b"id: 1\ndata: one\n\ndata:two\n\n"), ["one", "two"]);
    }

    #[test]
    fn chunks_may_end_anywhere() {
        let stream = "data: {\"text\":\"jñāna\"}\r\n\r\ndata: b\r\n\r\n".as_bytes();
        for cut in 0..stream.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&stream[..cut]);
            events.extend(parser.push(&stream[cut..]));
            assert_eq!(events, ["{\"text\":\"jñāna\"}", "b"], "cut at {cut}");
        }
    }

    #[test]
    fn comments_and_unknown_fields_are_read_over() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(b": keep-alive\n\nretry: 3\nevent: x\n\ndata: a\n\n"), ["a"]);
    }

    #[test]
    fn data_lines_join() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(b"data: a\ndata: b\ndata\n\n"), ["a\nb\n"]);
    }

    #[test]
    fn an_event_that_is_cut_off_is_held_back() {
        let mut parser = Parser::default();
        assert!(parser.push(b"data: a\n").is_empty());
        assert_eq!(parser.push(b"\n"), ["a"]);
    }
}
