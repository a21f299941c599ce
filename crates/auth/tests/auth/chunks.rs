//! Bodies in signed chunks: the examples of AWS's page on them, and what an attacker may try.

use longshore_auth::{AuthError, Expected, PayloadHash, verify, verify_chunked};

use crate::Request;

/// 2013-05-24T00:00:00Z
const THEN_S: i64 = 1_369_353_600;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const PLAIN: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];
const TRAILED: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const TRAILER: &str = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
                       d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n";

fn chunk(size: usize, signature: &str) -> String {
    let data = "a".repeat(size);
    format!("{size:x};chunk-signature={signature}\r\n{data}\r\n")
}

fn chunks(signatures: [&str; 3]) -> String {
    let [first, second, last] = signatures;
    [chunk(65_536, first), chunk(1024, second), chunk(0, last)].concat()
}

fn put(headers: &[(&str, &str)], signed: &str, signature: &str, body: String) -> Request {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed},Signature={signature}"
    );
    let common = [
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("authorization", &authorization),
    ];
    let headers = common.iter().chain(headers);
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    Request {
        method: "PUT".to_owned(),
        path: "/examplebucket/chunkObject.txt".to_owned(),
        query: String::new(),
        headers: headers.map(header).collect(),
        body: body.into_bytes(),
    }
}

fn plain(body: String) -> Request {
    put(
        &[
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-length", "66824"),
        ],
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
         x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        body,
    )
}

fn trailed(body: String) -> Request {
    put(
        &[
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        body,
    )
}

type Read = (Vec<u8>, Vec<(String, String)>);

fn read(request: &Request) -> Result<Read, AuthError> {
    let expected = Expected { region: Some("us-east-1"), service: Some("s3") };
    let lookup = |id: &str| (id == "AKIAIOSFODNN7EXAMPLE").then(|| (SECRET.to_owned(), ()));
    let (_, chunked) = verify_chunked(&request.parts(), &request.body, &expected, THEN_S, lookup)?;
    Ok((chunked.body, chunked.trailers))
}

#[test]
fn the_examples_of_aws_verify() {
    let data = "a".repeat(66_560).into_bytes();
    assert_eq!(read(&plain(chunks(PLAIN))), Ok((data.clone(), Vec::new())));
    let trailer = ("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned());
    // Both ways of writing the end of the last chunk.
    for body in [
        format!("{}{TRAILER}", chunks(TRAILED)),
        format!("{}{TRAILER}\r\n", chunks(TRAILED).trim_end().to_owned() + "\r\n"),
    ] {
        assert_eq!(read(&trailed(body)), Ok((data.clone(), vec![trailer.clone()])));
    }
}

#[test]
fn a_chunked_body_is_no_plain_one() {
    let request = plain(chunks(PLAIN));
    let known = |_: &str| Some((SECRET.to_owned(), ()));
    let plainly = verify(
        &request.parts(),
        &PayloadHash::of(&request.body),
        &Expected::default(),
        THEN_S,
        known,
    );
    assert_eq!(plainly, Err(AuthError::PayloadMismatch));
    let mut hashed = request;
    hashed.set("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(read(&hashed), Err(AuthError::PayloadMismatch));
}

#[test]
fn no_piece_may_change() {
    let good = chunks(PLAIN);
    let mismatch = |body: String| assert_eq!(read(&plain(body)), Err(AuthError::Mismatch));
    mismatch(good.replacen("aaaa", "aaab", 1));
    mismatch(good.replacen("ad80", "ad81", 1));
    // Dropped, doubled, moved, and of another request.
    let [first, second, last] = PLAIN;
    mismatch([chunk(1024, second), chunk(0, last)].concat());
    mismatch([chunk(65_536, first), chunk(65_536, first), chunk(0, last)].concat());
    mismatch([chunk(1024, second), chunk(65_536, first), chunk(0, last)].concat());
    mismatch([chunk(65_536, first), chunk(0, last)].concat());
    mismatch(chunks(TRAILED));
    let incomplete = |body: String| {
        let error = read(&plain(body)).expect_err("not whole");
        assert!(matches!(error, AuthError::Incomplete(_)), "{error}");
    };
    incomplete(String::new());
    incomplete([chunk(65_536, first), chunk(1024, second)].concat());
    incomplete(good[..good.len() / 2].to_owned());
    incomplete(format!("{good}x"));
    incomplete(format!("{good}{good}"));
    incomplete(good.replacen("10000;", "fffffffff;", 1));
    incomplete(good.replacen("10000;", "ffffffff;", 1));
    incomplete(good.replacen("10000;", "+10000;", 1));
    incomplete(good.replacen("10000;", "0x10000;", 1));
    incomplete(good.replacen(";chunk-signature=", ";chunk=", 1));
    // What the length header says is signed, so it is the chunks that must be wrong.
    let mut longer = plain(good);
    longer.set("x-amz-decoded-content-length", "66561");
    assert_eq!(read(&longer), Err(AuthError::Mismatch));
}

#[test]
fn no_trailer_may_change() {
    let check = |trailer: &str| read(&trailed(format!("{}{trailer}", chunks(TRAILED))));
    assert_eq!(check(&TRAILER.replace("sOO8", "sOO9")), Err(AuthError::Mismatch));
    assert_eq!(check(&TRAILER.replace("d81f", "d82f")), Err(AuthError::Mismatch));
    assert_eq!(check(&format!("x-amz-more:1\r\n{TRAILER}")), Err(AuthError::Mismatch));
    assert!(matches!(check(""), Err(AuthError::Incomplete(_))));
    assert!(matches!(check(&format!("{TRAILER}x-more:1\r\n")), Err(AuthError::Incomplete(_))));
    let mut undeclared = trailed(format!("{}{TRAILER}", chunks(TRAILED)));
    undeclared.headers.retain(|(name, _)| name != "x-amz-trailer");
    let refused = read(&undeclared);
    assert!(matches!(refused, Err(AuthError::Invalid(_))), "{refused:?}");
}
