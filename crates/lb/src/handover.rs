//! Passing listening sockets to the process that comes next, over a Unix socket in the data
//! directory.
//!
//! Both processes hold the same sockets for a while, so the kernel's queue of connections is
//! never without somebody who accepts: no connection is refused or lost. The old process goes on
//! until the new one says that it serves; if that dies before, nothing has happened.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::listeners::Sockets;
use crate::table::SocketKey;

/// Said by the new process when it serves.
const READY: u8 = b'R';
/// Time for the other process to do its next step.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the description of one socket.
const DESCRIPTION_BYTES: usize = 1024;

/// Where the processes meet.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lb.sock")
}

/// The process before, waiting to hear that this one serves.
pub(crate) struct Predecessor(UnixStream);

impl Predecessor {
    /// Tells it to stop accepting.
    pub(crate) fn ready(mut self) {
        let _ = self.0.write_all(&[READY]);
    }
}

/// Asks the process before for its sockets; `None` when there is none.
pub(crate) fn take(path: &Path) -> Option<(BTreeMap<SocketKey, OwnedFd>, Predecessor)> {
    let stream = UnixStream::connect(path).ok()?;
    let taken = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| receive(&stream));
    match taken {
        Ok(sockets) => Some((sockets, Predecessor(stream))),
        Err(error) => {
            tracing::warn!(%error, "the balancer before does not hand over its sockets");
            None
        }
    }
}

fn receive(stream: &UnixStream) -> io::Result<BTreeMap<SocketKey, OwnedFd>> {
    let mut sockets = BTreeMap::new();
    loop {
        let mut len = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut len)], &mut control, flags)?;
        if got.bytes != len.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let len = u32::from_be_bytes(len) as usize;
        if len == 0 {
            return Ok(sockets);
        }
        if len > DESCRIPTION_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut description = vec![0; len];
        let mut reader = stream;
        reader.read_exact(&mut description)?;
        let key: SocketKey = serde_json::from_slice(&description)?;
        sockets.insert(key, fd.ok_or(io::ErrorKind::InvalidData)?);
    }
}

/// Hands sockets to the process at the other end. Gives whether that serves now.
pub(crate) fn give(mut stream: UnixStream, sockets: &Sockets) -> io::Result<bool> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let copies: io::Result<Vec<_>> = {
        let sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(|(key, fd)| Ok((*key, fd.try_clone()?))).collect()
    };
    for (key, fd) in copies? {
        let description = serde_json::to_vec(&key)?;
        let len = u32::try_from(description.len()).map_err(io::Error::other)?.to_be_bytes();
        let fds: [BorrowedFd<'_>; 1] = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&stream, &[IoSlice::new(&len)], &mut control, SendFlags::NOSIGNAL)?;
        stream.write_all(&description)?;
    }
    stream.write_all(&[0; 4])?;
    let mut said = [0];
    Ok(stream.read(&mut said)? == 1 && said[0] == READY)
}
