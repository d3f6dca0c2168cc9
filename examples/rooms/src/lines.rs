//! Lines from a client that may send anything.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line in bytes, without its end.
pub(crate) const LONGEST: usize = 4096;

/// What came as one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Trimmed, and without control characters: another client's terminal is to show it and nothing more.
    Text(String),
    /// Over [`LONGEST`]; it was dropped as it came.
    TooLong,
    NotUtf8,
}

/// Reads lines; at no time does it hold more than one of them.
pub(crate) struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, line: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        self.line.clear();
        let (mut begun, mut too_long) = (false, false);
        loop {
            let bytes = self.from.fill_buf().await?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            too_long |= self.line.len() + part.len() > LONGEST;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let (at_end, used) = (bytes.is_empty(), part.len() + usize::from(end.is_some()));
            self.from.consume(used);
            if end.is_some() || (at_end && begun) {
                return Ok(Some(if too_long { Line::TooLong } else { self.text() }));
            }
            if at_end {
                return Ok(None);
            }
            begun = true;
        }
    }

    fn text(&self) -> Line {
        let Ok(text) = std::str::from_utf8(&self.line) else { return Line::NotUtf8 };
        let printable: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        Line::Text(printable.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    /// With buffers smaller than the lines, and larger.
    async fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut all = Vec::new();
        for buffer in [1, 7, 4096, 1 << 16] {
            let mut lines = Lines::new(BufReader::with_capacity(buffer, bytes));
            let mut read = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                assert!(lines.line.capacity() <= 2 * LONGEST);
                read.push(line);
            }
            all.push(read);
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[tokio::test]
    async fn lines_end_as_unix_and_telnet_have_it_and_the_last_one_needs_no_end() {
        assert_eq!(lines(b"one\n\ntwo\r\nthree").await, [text("one"), text(""), text("two"), text("three")]);
        assert_eq!(lines(b"").await, []);
        assert_eq!(lines(b"\n").await, [text("")]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_dropped_and_the_next_one_is_read() {
        let longest = "x".repeat(LONGEST);
        assert_eq!(
            lines(format!("{longest}\nx{longest}\nnext\n").as_bytes()).await,
            [text(&longest), Line::TooLong, text("next")]
        );
        assert_eq!(lines(&vec![b'x'; 1 << 20]).await, [Line::TooLong]);
    }

    #[tokio::test]
    async fn what_is_not_utf_8_is_told_and_the_next_line_is_read() {
        assert_eq!(lines(b"\xff\xfe\nnext\n").await, [Line::NotUtf8, text("next")]);
    }

    #[tokio::test]
    async fn nothing_is_left_that_a_terminal_would_obey() {
        assert_eq!(lines(b"\x1b[2Jgone\x07 \xc2\x9b1m\0\n").await, [text("[2Jgone   1m")]);
    }
}
