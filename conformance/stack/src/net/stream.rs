//! One end of a connection, as libp2p reads and writes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

use super::connection::Side;
use super::queue::Event;
use super::{SharedNet, lock};

/// The most bytes of one segment. Ours: what libp2p writes at once, so that an event stands for much.
const SEGMENT_BYTES: usize = 1 << 16;

/// One end of a connection.
pub struct VirtualStream {
    pub(super) net: SharedNet,
    pub(super) connection: usize,
    pub(super) side: Side,
}

impl VirtualStream {
    fn end(&self) {
        let mut net = lock(&self.net);
        let connection = &mut net.connections[self.connection];
        if connection.error.is_none() && !std::mem::replace(&mut connection.half_mut(self.side).is_closed, true) {
            net.send(preconf_interpose::now(), self.connection, self.side, 0, Event::End(self.connection, self.side));
        }
    }
}

impl AsyncRead for VirtualStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut net = lock(&self.net);
        let connection = &mut net.connections[self.connection];
        if let Some(kind) = connection.error {
            return Poll::Ready(Err(kind.into()));
        }
        let half = connection.half_mut(self.side);
        let mut read = 0;
        while read < buffer.len()
            && let Some(first) = half.arrived.front()
        {
            let rest = &first[half.read_of_first..];
            let len = rest.len().min(buffer.len() - read);
            buffer[read..read + len].copy_from_slice(&rest[..len]);
            read += len;
            half.read_of_first += len;
            if half.read_of_first == first.len() {
                half.arrived.pop_front();
                half.read_of_first = 0;
            }
        }
        if read > 0 {
            let sender = connection.half_mut(self.side.other());
            sender.unread -= read;
            let writer = sender.writer.take();
            drop(net);
            writer.into_iter().for_each(std::task::Waker::wake);
            return Poll::Ready(Ok(read));
        }
        if half.is_at_end {
            return Poll::Ready(Ok(0));
        }
        half.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for VirtualStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (now, mut net) = (preconf_interpose::now(), lock(&self.net));
        let window = net.lines.window;
        let connection = &mut net.connections[self.connection];
        if let Some(kind) = connection.error {
            return Poll::Ready(Err(kind.into()));
        }
        let half = connection.half_mut(self.side);
        if half.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(window.saturating_sub(half.unread)).min(SEGMENT_BYTES);
        if len == 0 && !bytes.is_empty() {
            half.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        half.unread += len;
        half.sent.push_back((now, bytes[..len].to_vec()));
        net.send(now, self.connection, self.side, len, Event::Data(self.connection, self.side));
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for VirtualStream {
    fn drop(&mut self) {
        self.end();
        let mut net = lock(&self.net);
        let connection = &mut net.connections[self.connection];
        let half = connection.half_mut(self.side);
        half.is_dropped = true;
        half.arrived.clear();
        let writer = connection.half_mut(self.side.other()).writer.take();
        connection.free();
        drop(net);
        writer.into_iter().for_each(std::task::Waker::wake);
    }
}
