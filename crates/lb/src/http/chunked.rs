//! Bodies in chunks, read strictly as they pass. Pure.
//!
//! Sizes are hexadecimal digits and nothing else, lines end with CRLF, and neither extensions nor
//! trailers may be long.

use crate::limits;

/// A body that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the size, after so many digits.
    Size(u8),
    Extension,
    /// After the CR of a size's line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line of trailers.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

/// A reader of chunks.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    state: State,
    left: u64,
    /// Bytes of the line, or of all trailers.
    line: usize,
}

impl Chunks {
    /// At the beginning of a body.
    pub(crate) fn new() -> Self {
        Self { state: State::Size(0), left: 0, line: 0 }
    }

    /// Whether the body is over.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads on. Gives how many of the bytes belong to the body, framing included; fewer than all
    /// only at its end. `data` gets what the chunks carry.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let end = bytes.len().min(at.saturating_add(left));
                data(&bytes[at..end]);
                self.left -= (end - at) as u64;
                at = end;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        self.line += 1;
        let most = match self.state {
            State::TrailerStart | State::Trailer | State::TrailerLf | State::EndLf => {
                limits::TRAILER_BYTES
            }
            _ => limits::CHUNK_LINE_BYTES,
        };
        if self.line > most {
            return Err(Malformed);
        }
        match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                self.left = self.left * 16 + u64::from(digit);
                Ok(State::Size(digits + 1))
            }
            (State::Size(1..), b';') | (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(State::Extension)
            }
            (State::Size(1..) | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::SizeLf, b'\n') => {
                self.line = 0;
                Ok(if self.left == 0 { State::TrailerStart } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line = 0;
                Ok(State::Size(0))
            }
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, b'!'..=b'~') if byte != b':' => Ok(State::Trailer),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Trailer),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<(usize, Vec<u8>, bool), Malformed> {
        let mut chunks = Chunks::new();
        let mut data = Vec::new();
        let taken = chunks.advance(bytes, |part| data.extend_from_slice(part))?;
        Ok((taken, data, chunks.is_done()))
    }

    #[test]
    fn a_body_is_read_to_its_end_and_no_further() {
        let body = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\nGET /";
        assert_eq!(read(body), Ok((body.len() - 5, b"hello world".to_vec(), true)));
        assert_eq!(read(b"5\r\nhel"), Ok((6, b"hel".to_vec(), false)));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x5\r\nhello\r\n",
            "5\nhello",
            "5 \r\nhello\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "1111111111111111\r\n",
            ";\r\n",
            "5;\n",
            "0\r\n \r\n",
            "0\r\n:a\r\n",
            "5\r\rhello",
            "0\r\n\n",
        ] {
            assert_eq!(read(body.as_bytes()), Err(Malformed), "{body:?}");
        }
        let long = format!("5;{}\r\n", "a".repeat(limits::CHUNK_LINE_BYTES));
        assert_eq!(read(long.as_bytes()), Err(Malformed));
        let trailers = format!("0\r\nA: {}\r\n", "a".repeat(limits::TRAILER_BYTES));
        assert_eq!(read(trailers.as_bytes()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(1_usize..7, 1..300),
        ) {
            let mut body = Vec::new();
            for part in &parts {
                body.extend(format!("{:X}\r\n", part.len()).as_bytes());
                body.extend(part);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut chunks = Chunks::new();
            let mut data = Vec::new();
            let mut rest = body.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let taken = chunks.advance(now, |part| data.extend_from_slice(part));
                prop_assert_eq!(taken, Ok(now.len()));
                rest = later;
            }
            prop_assert!(chunks.is_done());
            prop_assert_eq!(data, parts.concat());
        }

        #[test]
        fn bytes_of_any_kind_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((taken, _, done)) = read(&bytes) {
                prop_assert!(taken == bytes.len() || done);
            }
        }
    }
}
