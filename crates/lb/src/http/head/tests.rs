//! What is read, and what is refused.

use proptest::prelude::*;

use super::*;

fn refusal(head: &str) -> Option<u16> {
    request(head.as_bytes()).err().map(Refusal::status)
}

#[test]
fn a_request_is_read() {
    let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nrest";
    let head = request(bytes).expect("well formed").expect("complete");
    assert_eq!(head.len, bytes.len() - 4);
    assert_eq!(text(bytes, &head.method), "GET");
    assert_eq!(text(bytes, &head.target), "/a?b=c");
    assert_eq!(head.framing, Framing::Length(12));
    assert!(head.keep_alive && head.eleven && !head.upgrade);
    assert_eq!(text(bytes, &head.headers[0].1), "x");
}

#[test]
fn a_whole_url_is_split() {
    let bytes = b"GET http://example.com:81/a HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = request(bytes).expect("well formed").expect("complete");
    assert_eq!(text(bytes, &head.target), "/a");
    assert_eq!(head.authority.map(|p| text(bytes, &p)), Some("example.com:81"));
    let bytes = b"GET http://example.com HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = request(bytes).expect("well formed").expect("complete");
    assert_eq!(text(bytes, &head.target), "/");
}

#[test]
fn what_could_be_smuggled_is_refused() {
    for (head, status) in [
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
        ("GET / HTTP/3.1\r\nHost: x\r\n\r\n", 505),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        ("GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00", 400),
    ] {
        assert_eq!(refusal(head), Some(status), "{head:?}");
    }
}

#[test]
fn long_heads_are_refused_before_they_are_complete() {
    let line = format!("GET /{}", "a".repeat(limits::REQUEST_LINE_BYTES));
    assert_eq!(refusal(&line), Some(400));
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(17_000));
    assert_eq!(refusal(&header), Some(400));
    let all = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}",
        format!("A: {}\r\n", "a".repeat(9_000)).repeat(8)
    );
    assert_eq!(refusal(&all), Some(400));
}

#[test]
fn an_answer_says_how_long_it_is() {
    let framing = |text: &str, bodyless| {
        let head = response(text.as_bytes(), bodyless).expect("well formed").expect("complete");
        (head.framing, head.keep_alive)
    };
    assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n", false), (Framing::Close, false));
    assert_eq!(framing("HTTP/1.1 204 No\r\n\r\n", false), (Framing::Length(0), true));
    assert_eq!(
        framing("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true),
        (Framing::Length(0), true)
    );
    assert_eq!(
        framing(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            false
        ),
        (Framing::Chunked, false)
    );
    let both = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n";
    assert!(response(both, false).is_err());
}

proptest! {
    /// Any bytes are read without a panic, and places lie within them.
    #[test]
    fn bytes_of_any_kind_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        near in "(GET|POST) /[a-z?]{0,9} HTTP/1.[01]\r\n([A-Za-z-]{1,9}:[ -~]{0,9}\r\n){0,5}\r?\n?",
    ) {
        for bytes in [bytes.as_slice(), near.as_bytes()] {
            if let Ok(Some(head)) = request(bytes) {
                prop_assert!(head.len <= bytes.len());
                prop_assert!(head.target.end as usize <= head.len);
                for (name, value) in &head.headers {
                    prop_assert!(!at(bytes, name).is_empty());
                    prop_assert!(value.end as usize <= head.len);
                    prop_assert!(!at(bytes, value).contains(&b'\n'));
                }
            }
            let _ = response(bytes, false);
        }
    }

    /// A head is the same whether it came whole or bit by bit.
    #[test]
    fn a_part_of_a_head_is_no_head(cut in 0_usize..52) {
        let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n";
        prop_assert!(matches!(request(&bytes[..cut.min(bytes.len() - 1)]), Ok(None)));
    }
}
