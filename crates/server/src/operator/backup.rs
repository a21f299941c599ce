//! `GET /_longshore/backup`: the whole store as it is now, as an archive, while the server runs.
//!
//! It holds what belongs to everybody, so it is for the root of the only account that has keys.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Response;
use http::header::{self, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use longshore_store::archive;

use super::Lines;
use crate::call::Call;

/// The archive, or why the caller may not have it.
pub(super) fn answer(call: &Call) -> Result<Response<Lines>, &'static str> {
    let server = &call.server;
    if !server.identity.owns_all(&call.principal) {
        return Err("a backup is for the root of the only account that has keys here; use a key \
             without a user, or export the store itself on the control plane's machine (longshore \
             ctl store export, with the server stopped where it is redb)");
    }
    // An archive that is cut off by a failing store just ends; its reader misses the last line.
    let pieces = archive::export(&**server.state.store())
        .inspect_err(|error| tracing::error!(%error, "a backup was cut off"))
        .take_while(|piece| std::future::ready(piece.is_ok()))
        .flat_map(|piece| stream::iter(piece.ok()))
        .map(|piece: Bytes| Ok::<_, Infallible>(Frame::data(piece)));
    let mut reply = Response::new(StreamBody::new(pieces).boxed_unsync());
    let kind = HeaderValue::from_static("application/x-ndjson");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}
