//! What must hold of any bytes that a peer may send: the properties behind the fuzz targets (`make fuzz`).
//! The tests below hold them against the recorded inputs of `fuzz/corpus`.

use std::net::{Ipv4Addr, SocketAddr};

use longshore_domain::route::{BalancerAttributes, ListenerAttributes};

use super::chunked::{Chunks, Malformed};
use super::head::{self, Framing, RequestHead};
use super::write;

/// A request's head is complete or it is not, whatever follows; and what goes on to a target is read by anybody
/// as exactly one request, the one that was judged.
///
/// # Panics
/// It does not hold.
pub fn request_head(bytes: &[u8]) {
    let Ok(Some(read)) = head::request(bytes) else { return };
    for shorter in [read.len - 1, read.len / 2] {
        assert!(!matches!(head::request(&bytes[..shorter]), Ok(Some(_))), "a head without its end");
    }
    let alone = head::request(&bytes[..read.len]).expect("read before").expect("complete");
    assert_eq!(alone.framing, read.framing, "what follows a head changes nothing");

    let written = forwarded(bytes, &read);
    let again = head::request(&written).expect("we write what we take").expect("all of it");
    assert_eq!(again.len, written.len(), "nothing comes after the head");
    assert_eq!(head::at(&written, &again.method), head::at(bytes, &read.method));
    assert_eq!(head::at(&written, &again.target), head::at(bytes, &read.target));
    assert_eq!(again.framing, read.framing, "both sides see the same body");
    let framing = |name: &str| write::values(&written, &again.headers, name).count();
    let (lengths, codings) = (framing("content-length"), framing("transfer-encoding"));
    assert!(lengths + codings <= 1, "one way to read the body");
    assert_eq!(codings == 1, read.framing == Framing::Chunked);
}

fn forwarded(bytes: &[u8], read: &RequestHead) -> Vec<u8> {
    let (attributes, listener) = (BalancerAttributes::default(), ListenerAttributes::default());
    let told = write::Told {
        attributes: &attributes,
        listener: &listener,
        identity: &[],
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)),
        port: 80,
        tls: None,
        trace: "Root=1-00000000-000000000000000000000000",
    };
    let mut out = Vec::new();
    write::request(&mut out, bytes, read, &told);
    out
}

/// An answer's head is passed on as one head.
///
/// # Panics
/// It does not hold.
pub fn response_head(bytes: &[u8]) {
    for bodyless in [false, true] {
        let Ok(Some(read)) = head::response(bytes, bodyless) else { continue };
        let mut out = Vec::new();
        write::response(&mut out, bytes, &read, true, &[], &ListenerAttributes::default());
        let again = head::response(&out, bodyless).expect("we write what we take");
        let again = again.expect("all of it");
        assert_eq!(again.len, out.len(), "nothing comes after the head");
        assert_eq!(again.status, read.status);
        assert_eq!(again.framing, read.framing, "both sides see the same body");
    }
}

/// A body in chunks is read alike in whatever pieces it comes. The first byte says how large the pieces are.
///
/// # Panics
/// It does not hold.
pub fn chunks(bytes: &[u8]) {
    let Some((size, body)) = bytes.split_first() else { return };
    let whole = read_chunks(body.chunks(body.len().max(1)));
    let pieces = read_chunks(body.chunks(usize::from(*size).max(1)));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => assert_eq!(whole.is_err(), pieces.is_err(), "refused either way"),
    }
}

/// Bytes that belong to the body, what the chunks carry, and whether that was all.
fn read_chunks<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(usize, Vec<u8>, bool), Malformed> {
    let (mut reader, mut taken, mut data) = (Chunks::new(), 0, Vec::new());
    for piece in pieces {
        let some = reader.advance(piece, |bytes| data.extend_from_slice(bytes))?;
        taken += some;
        if some < piece.len() {
            assert!(reader.is_done(), "bytes are left over only at the end");
            break;
        }
    }
    Ok((taken, data, reader.is_done()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(name: &str, property: fn(&[u8])) {
        let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let entries: Vec<_> = std::fs::read_dir(folder).expect("a corpus").collect();
        assert!(!entries.is_empty(), "the corpus of {name} has inputs");
        for entry in entries {
            property(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }

    #[test]
    fn the_recorded_inputs_hold() {
        each("request_head", request_head);
        each("response_head", response_head);
        each("chunks", chunks);
    }
}
