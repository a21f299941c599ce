//! Heads of requests and answers, read strictly. Pure.
//!
//! What two parties might read differently is refused here, so that nothing can be smuggled past
//! the rules: both a length and chunks, several lengths, folded headers, chunks that are not last
//! among the codings. The head that goes on is written anew, never copied.

use std::ops::Range;

use crate::limits;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection is closed; answers only.
    Close,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not HTTP, or can be read in two ways.
    Malformed,
    /// It is longer than ALB takes.
    TooLarge,
    /// A transfer coding that is not known, or a method of proxies.
    NotImplemented,
    /// A version of HTTP that is not known.
    Version,
}

impl Refusal {
    /// ALB's status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::TooLarge => 400,
            Self::NotImplemented => 501,
            Self::Version => 505,
        }
    }
}

/// A header, as places in the buffer that it was read from.
pub(crate) type Place = (Range<u32>, Range<u32>);

/// A request's head, as places in its buffer.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Bytes of the whole head.
    pub(crate) len: usize,
    pub(crate) method: Range<u32>,
    /// Path and query.
    pub(crate) target: Range<u32>,
    /// The authority, when the target was a whole URL.
    pub(crate) authority: Option<Range<u32>>,
    /// HTTP/1.1 rather than 1.0.
    pub(crate) eleven: bool,
    pub(crate) headers: Vec<Place>,
    pub(crate) framing: Framing,
    /// The client wants to go on with this connection.
    pub(crate) keep_alive: bool,
    /// It wants another protocol: `Upgrade`, named by `Connection`.
    pub(crate) upgrade: bool,
}

/// An answer's head, as places in its buffer.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) len: usize,
    pub(crate) status: u16,
    pub(crate) reason: Range<u32>,
    pub(crate) headers: Vec<Place>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// The bytes of a place.
pub(crate) fn at<'a>(buffer: &'a [u8], place: &Range<u32>) -> &'a [u8] {
    buffer.get(place.start as usize..place.end as usize).unwrap_or_default()
}

/// The text of a place; empty when it is none.
pub(crate) fn text<'a>(buffer: &'a [u8], place: &Range<u32>) -> &'a str {
    std::str::from_utf8(at(buffer, place)).unwrap_or_default()
}

fn place(buffer: &[u8], part: &[u8]) -> Range<u32> {
    let start = (part.as_ptr() as usize).saturating_sub(buffer.as_ptr() as usize);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    narrow(start)..narrow(start + part.len())
}

/// What the headers of one head say about its body and its connection.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a header, or a word of one")]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep: bool,
    upgrade_named: bool,
    upgrade: bool,
    hosts: u32,
}

impl Seen {
    fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        // Only few lengths are looked at further.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade_named |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::Malformed);
                }
                self.length = Some(length(value).ok_or(Refusal::Malformed)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked {
                    return Err(Refusal::Malformed);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::NotImplemented);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A length: digits and nothing else, no sign, no list.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |sum, b| sum * 10 + u64::from(b - b'0')))
}

/// Reads a request's head; `None` when it is not all there.
pub(crate) fn request(buffer: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; limits::HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(buffer, &mut headers);
    let len = match status {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return partial(buffer).map(|()| None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(httparse::Error::Version) => return Err(version(buffer)),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::Malformed);
    };
    let too_large = len > limits::REQUEST_HEAD_BYTES
        || method.len() + target.len() + " HTTP/1.1".len() + 1 > limits::REQUEST_LINE_BYTES
        || parsed.headers.iter().any(|h| h.name.len() + h.value.len() > limits::HEADER_BYTES);
    if too_large {
        return Err(Refusal::TooLarge);
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Refusal::NotImplemented);
    }
    let eleven = minor == 1;
    let mut seen = Seen::default();
    let mut places = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        seen.header(header.name.as_bytes(), header.value)?;
        places.push((place(buffer, header.name.as_bytes()), place(buffer, header.value)));
    }
    let both = seen.chunked && (seen.length.is_some() || !eleven);
    if both || seen.hosts > 1 || (eleven && seen.hosts == 0) {
        return Err(Refusal::Malformed);
    }
    let (authority, path) = split_target(target).ok_or(Refusal::Malformed)?;
    Ok(Some(RequestHead {
        len,
        method: place(buffer, method.as_bytes()),
        target: place(buffer, path.as_bytes()),
        authority: authority.map(|text| place(buffer, text.as_bytes())),
        eleven,
        headers: places,
        framing: if seen.chunked {
            Framing::Chunked
        } else {
            Framing::Length(seen.length.unwrap_or(0))
        },
        keep_alive: if eleven { !seen.close } else { seen.keep && !seen.close },
        upgrade: seen.upgrade && seen.upgrade_named && eleven && !seen.chunked,
    }))
}

/// A head that is not all there may already be too large.
fn partial(buffer: &[u8]) -> Result<(), Refusal> {
    let line = buffer.iter().position(|b| *b == b'\n');
    let long_line = line.unwrap_or(buffer.len()) > limits::REQUEST_LINE_BYTES;
    let too_large = long_line || buffer.len() >= limits::REQUEST_HEAD_BYTES;
    if too_large { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// Whether it is HTTP of another version, or none at all.
fn version(buffer: &[u8]) -> Refusal {
    let line = buffer.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let last = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    let other = last.starts_with(b"HTTP/") && last.len() == "HTTP/1.1".len();
    if other { Refusal::Version } else { Refusal::Malformed }
}

/// Authority and path of a request's target.
fn split_target(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') || target == "*" {
        return Some((None, target));
    }
    let scheme = ["http://", "https://"]
        .iter()
        .find(|s| target.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))?;
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    // A path that is empty is `/`, which stands before the authority already.
    match path {
        "" => Some((Some(authority), &target[scheme.len() - 1..scheme.len()])),
        path if path.starts_with('/') => Some((Some(authority), path)),
        _ => None,
    }
}

/// Reads an answer's head; `None` when it is not all there, an error when it makes no sense.
///
/// `bodyless` says that the request was one whose answer has no body.
pub(crate) fn response(buffer: &[u8], bodyless: bool) -> Result<Option<ResponseHead>, Refusal> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; limits::HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        buffer,
        &mut headers,
    );
    let len = match status {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if buffer.len() >= limits::RESPONSE_HEAD_BYTES => {
            return Err(Refusal::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Refusal::Malformed);
    };
    let eleven = minor == 1;
    let mut seen = Seen::default();
    let mut places = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        seen.header(header.name.as_bytes(), header.value)?;
        places.push((place(buffer, header.name.as_bytes()), place(buffer, header.value)));
    }
    if seen.chunked && (seen.length.is_some() || !eleven) {
        return Err(Refusal::Malformed);
    }
    let empty = bodyless || code < 200 || code == 204 || code == 304;
    let framing = match seen.length {
        _ if empty => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None if seen.chunked => Framing::Chunked,
        None => Framing::Close,
    };
    let wants = if eleven { !seen.close } else { seen.keep && !seen.close };
    Ok(Some(ResponseHead {
        len,
        status: code,
        reason: place(buffer, parsed.reason.unwrap_or_default().as_bytes()),
        headers: places,
        framing,
        keep_alive: wants && framing != Framing::Close,
    }))
}

#[cfg(test)]
mod tests;
