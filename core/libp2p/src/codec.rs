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
pub enum FrameFault {
    /// Its length is wrong.
    #[error(transparent)]
    Length(#[from] FrameError),
    /// There is something behind it.
    #[error("bytes behind the one frame of a direction")]
    Trailing,
}

/// A body in at most two pieces that are written one after the other without a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
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
    pub fn into_bytes(self) -> Bytes {
        self.rest
    }
}

/// Reads and writes the frames of one protocol.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    request_cap: u32,
    response_cap: u32,
}

impl Codec {
    /// The codec of a protocol, with the caps of P3.4.
    pub fn new(protocol: Protocol, txlist_cap: usize) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use futures::executor::block_on;
    use libp2p_request_response::Codec as _;
    use preconf_core::{B256, MAX_TXLIST_BYTES, PreconfHead, RawTxList};
    use proptest::prelude::*;

    /// A stream that arrives in the pieces given, then ends or stalls.
    struct Pieces {
        pieces: VecDeque<Vec<u8>>,
        ends: bool,
    }

    impl Pieces {
        /// Cut at every length of `cuts`, in turn.
        fn cut(stream: &[u8], cuts: &[usize]) -> Self {
            let (mut rest, mut pieces, mut cuts) = (stream, VecDeque::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*cuts.next().expect("a cut")).min(rest.len()));
                pieces.push_back(piece.to_vec());
                rest = tail;
            }
            Self { pieces, ends: true }
        }
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
            let Some(piece) = self.pieces.front_mut() else {
                return if self.ends { Poll::Ready(Ok(0)) } else { Poll::Pending };
            };
            let len = piece.len().min(buffer.len());
            buffer[..len].copy_from_slice(&piece[..len]);
            piece.drain(..len);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Poll::Ready(Ok(len))
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let (prefix, used) = frame_prefix(body.len() as u32);
        [&prefix[..used], body].concat()
    }

    fn read(stream: &[u8], cuts: &[usize], cap: u32) -> io::Result<Result<Bytes, FrameFault>> {
        block_on(FrameReader::new(cap).read(&mut Pieces::cut(stream, cuts)))
    }

    proptest! {
        #[test]
        fn a_frame_is_read_whole_wherever_its_stream_is_cut(
            body in prop::collection::vec(any::<u8>(), 0..5000),
            cuts in prop::collection::vec(1usize..700, 1..20),
        ) {
            // P3.4
            let whole = read(&framed(&body), &cuts, 5000).expect("readable");
            prop_assert_eq!(whole, Ok(Bytes::from(body.clone())));
            let longer = [framed(&body), vec![0]].concat();
            prop_assert_eq!(read(&longer, &cuts, 5000).expect("readable"), Err(FrameFault::Trailing));
            let shorter = framed(&body);
            let cut_off = read(&shorter[..shorter.len() - 1], &cuts, 5000).expect_err("no frame");
            prop_assert_eq!(cut_off.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_stranger_sends_reads_the_same_however_it_is_cut(
            stream in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..9),
            cuts in prop::collection::vec(1usize..4, 1..9),
        ) {
            // P3.4
            let outcome = |cuts: &[usize]| read(&stream, cuts, 4).map_err(|error| error.kind());
            prop_assert_eq!(outcome(&cuts), outcome(&[9]));
        }
    }

    #[test]
    fn a_length_over_the_cap_is_refused_before_its_body() {
        // P3.4
        let stream = framed(&[0; 101]);
        let fault = FrameFault::Length(FrameError::TooLarge { len: 101, max: 100 });
        assert_eq!(read(&stream[..1], &[1], 100).expect("readable"), Err(fault));
    }

    /// Memory that a stream costs when it stalls after these bytes.
    fn cost_of_stall(arrived: &[u8]) -> usize {
        let mut reader = FrameReader::new(max_response_bytes(Protocol::GetTxList, MAX_TXLIST_BYTES));
        let mut stream = Pieces { ends: false, ..Pieces::cut(arrived, &[1 << 20]) };
        let polled = Box::pin(reader.read(&mut stream)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        reader.decoder.held_bytes() + reader.buffer.capacity()
    }

    #[test]
    fn a_stalled_announcement_of_two_mebibytes_costs_about_what_arrived() {
        // P3.4: less than 64 KiB, and far less while nothing but the announcement is here.
        let stream = framed(&vec![7; MAX_TXLIST_BYTES + 36]);
        assert!(cost_of_stall(&stream[..4]) <= 1024, "{}", cost_of_stall(&stream[..4]));
        for arrived in [100, 1000, 5000, 15_000] {
            let cost = cost_of_stall(&stream[..arrived]);
            assert!(cost < 64 << 10, "{cost} bytes for {arrived}");
        }
        let arrived = 1_000_000;
        assert!(cost_of_stall(&stream[..arrived]) <= 2 * arrived + MAX_READ_BYTES);
    }

    fn written(response: Response) -> Vec<u8> {
        let mut out = Vec::new();
        block_on(write_frame(&mut out, &response.into())).expect("memory takes all");
        out
    }

    #[test]
    fn what_is_written_reads_back_for_every_response() {
        let txlist = RawTxList { hash: B256::repeat_byte(3), txlist: vec![9; MAX_TXLIST_BYTES].into() };
        let empty = RawTxList { txlist: Bytes::new(), ..txlist.clone() };
        let head = PreconfHead::default();
        let page = Bytes::from(vec![5; 4 + 382]);
        assert_eq!(written(Response::Head(head)), framed(&head.encode()));
        assert_eq!(written(Response::Commitments(page.clone())), framed(&page));
        assert_eq!(written(Response::TxList(empty.clone())), framed(&empty.encode()));
        let stream = written(Response::TxList(txlist.clone()));
        let mut codec = Codec::new(Protocol::GetTxList, MAX_TXLIST_BYTES);
        let name = StreamProtocol::new("/any");
        let body = block_on(codec.read_response(&name, &mut Pieces::cut(&stream, &[9999]))).expect("one frame");
        assert_eq!(RawTxList::decode(&body.into_bytes(), MAX_TXLIST_BYTES), Ok(txlist));
    }

    #[test]
    fn a_txlist_is_written_from_where_it_lies() {
        /// Notes where each piece lies that is as long as the txlist.
        struct Watch(Vec<usize>);
        impl AsyncWrite for Watch {
            fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                if bytes.len() == 1000 {
                    self.0.push(bytes.as_ptr().addr());
                }
                Poll::Ready(Ok(bytes.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let txlist = Bytes::from(vec![1; 1000]);
        let response = Response::TxList(RawTxList { hash: B256::ZERO, txlist: txlist.clone() });
        let mut watch = Watch(Vec::new());
        block_on(write_frame(&mut watch, &response.into())).expect("all is taken");
        assert_eq!(watch.0, [txlist.as_ptr().addr()]);
    }

    #[test]
    fn only_a_fault_of_framing_counts_as_one() {
        let mut codec = Codec::new(Protocol::GetHead, MAX_TXLIST_BYTES);
        let name = StreamProtocol::new("/any");
        let mut error = |stream: &[u8]| block_on(codec.read_response(&name, &mut Pieces::cut(stream, &[7]))).expect_err("no frame");
        assert!(is_frame_fault(&error(&framed(&[0; 65]))));
        assert!(is_frame_fault(&error(&[0x80, 0x00])));
        assert!(!is_frame_fault(&error(&framed(&[0; 64])[..60])));
        assert!(!is_frame_fault(&error(&[])));
    }
}
