//! How does one frame a direction travel on a stream (P3.4)?
//!
//! A thin reader over the core's [`FrameDecoder`] and a writer in pieces. The read buffer starts small and doubles only when a read filled
//! it, so that a stalled announcement of 2 MiB costs about what has arrived. After the frame the stream must end: a byte too many is a
//! fault, wherever the stream was cut.
//!
//! A fault of framing is not an I/O error: a request's is handed on as a request, because request-response keeps the errors of reading
//! one to itself.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p_swarm::StreamProtocol;
use preconf_core::{FrameDecoder, FrameError, Protocol, Response, frame_prefix, max_request_bytes, max_response_bytes};

/// First read of a stream, in bytes. Ours: holds every request and a head response, so that one read is enough.
const FIRST_READ_BYTES: usize = 256;
/// Longest read, in bytes. Ours: what a yamux frame and a noise message deliver at once, and less than a stalled stream may cost.
const MAX_READ_BYTES: usize = 16 << 10;

/// Why a stream is not one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameFault {
    /// Its length is wrong.
    #[error(transparent)]
    Length(#[from] FrameError),
    /// There is something behind it.
    #[error("bytes behind the one frame of a direction")]
    Trailing,
}

/// A body in at most two pieces that are written one after the other without a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    header: Bytes,
    rest: Bytes,
}

impl From<Response> for Body {
    fn from(response: Response) -> Self {
        match response {
            Response::Head(head) => head.encode().into(),
            Response::Commitments(page) => page.into(),
            Response::TxList(list) => Self { header: Bytes::copy_from_slice(&list.header()), rest: list.txlist },
        }
    }
}

impl From<Bytes> for Body {
    fn from(rest: Bytes) -> Self {
        Self { header: Bytes::new(), rest }
    }
}

impl Body {
    /// What was read off the wire; it has one piece.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.rest
    }
}

/// Reads and writes the frames of one protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    request_cap: u32,
    response_cap: u32,
}

impl Codec {
    pub(crate) fn new(protocol: Protocol, txlist_cap: usize) -> Self {
        Self { request_cap: max_request_bytes(protocol), response_cap: max_response_bytes(protocol, txlist_cap) }
    }
}

impl libp2p_request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Result<Bytes, FrameFault>;
    type Response = Body;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Self::Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        FrameReader::new(self.request_cap).read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Body>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = FrameReader::new(self.response_cap).read(io).await?;
        frame.map(Body::from).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Self::Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let body = request.map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        write_frame(io, &body.into()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Body) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &response).await
    }
}

/// Did this I/O error come from a frame that breaks P3.4?
pub(crate) fn is_frame_fault(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<FrameFault>())
}

/// Reads one frame and the stream's end.
struct FrameReader {
    decoder: FrameDecoder,
    buffer: Vec<u8>,
    step: usize,
}

impl FrameReader {
    fn new(cap: u32) -> Self {
        Self { decoder: FrameDecoder::new(cap), buffer: Vec::new(), step: FIRST_READ_BYTES }
    }

    /// The frame, or why there is none. The outer error is the stream's own: a stream that ends early broke no rule.
    async fn read<T>(&mut self, io: &mut T) -> io::Result<Result<Bytes, FrameFault>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = loop {
            self.buffer.resize(self.step, 0);
            let len = io.read(&mut self.buffer).await?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut arrived = &self.buffer[..len];
            match self.decoder.decode(&mut arrived) {
                Ok(None) => {}
                Ok(Some(_)) if !arrived.is_empty() => return Ok(Err(FrameFault::Trailing)),
                Ok(Some(frame)) => break frame,
                Err(error) => return Ok(Err(error.into())),
            }
            if len == self.step {
                self.step = (2 * self.step).min(MAX_READ_BYTES);
            }
        };
        self.buffer = Vec::new();
        let more = io.read(&mut [0]).await?;
        Ok(if more == 0 { Ok(frame) } else { Err(FrameFault::Trailing) })
    }
}

async fn write_frame<T>(io: &mut T, body: &Body) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    /// Pieces up to this length travel with the length in front of them. Ours: a head and the header of a txlist fit.
    const TOGETHER_BYTES: usize = 64;
    let len = body.header.len() + body.rest.len();
    let len = u32::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (prefix, used) = frame_prefix(len);
    let mut start = Vec::with_capacity(prefix.len() + 2 * TOGETHER_BYTES);
    start.extend_from_slice(&prefix[..used]);
    for piece in [&body.header, &body.rest] {
        if piece.len() <= TOGETHER_BYTES && start.len() + piece.len() <= start.capacity() {
            start.extend_from_slice(piece);
        } else {
            io.write_all(&start).await?;
            start.clear();
            io.write_all(piece).await?;
        }
    }
    io.write_all(&start).await?;
    io.flush().await
}
