//! The codec between a stream and the machine, over a stream that is cut anywhere (P3.4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::AsyncRead;
use futures::executor::block_on;
use libp2p_request_response::Codec as _;
use libp2p_swarm::StreamProtocol;
use preconf_core::{Bytes, FrameDecoder, Protocol, max_request_bytes, max_response_bytes};
use preconf_libp2p::Codec;

/// Longest txlist here, in bytes. Ours: an input has to reach beyond it.
const TXLIST_CAP: usize = 600;

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// One frame and the end.
    Frame,
    /// The frame is at fault.
    Fault,
    /// The stream ended early, which is nobody's fault.
    Short,
}

/// Reads a stream with the codec, as a request and as a response: one byte that names the protocol, one for the longest read, the stream.
///
/// # Panics
/// Another cut gives another result, or the codec and a plain decoder disagree.
pub fn codec_stream(data: &[u8]) -> [Read; 2] {
    let [protocol, cut, stream @ ..] = data else { return [Read::Short; 2] };
    let protocol = Protocol::ALL[usize::from(*protocol) % 3];
    let caps = [max_request_bytes(protocol), max_response_bytes(protocol, TXLIST_CAP)];
    let whole = read(protocol, stream, usize::MAX);
    assert_eq!(read(protocol, stream, usize::from(*cut).max(1)), whole, "P3.4: the cut of a stream changes what it says");
    for (read, cap) in whole.iter().zip(caps) {
        assert_eq!(*read, plain(stream, cap), "P3.4: codec and decoder disagree under a cap of {cap}");
    }
    if let Ok(body) = &whole[1] {
        assert_eq!(written(protocol, body), stream, "P3.4: what was read does not write the same again");
    }
    whole.map(|read| match read {
        Ok(_) => Read::Frame,
        Err(true) => Read::Fault,
        Err(false) => Read::Short,
    })
}

/// The frame; or whether it is at fault that there is none.
type Outcome = Result<Bytes, bool>;

fn read(protocol: Protocol, stream: &[u8], cut: usize) -> [Outcome; 2] {
    let (name, mut codec) = (StreamProtocol::new("/any"), Codec::new(protocol, TXLIST_CAP));
    let request = match block_on(codec.read_request(&name, &mut Cut { stream, cut })) {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(true),
        Err(error) => Err(at_fault(&error)),
    };
    let response = match block_on(codec.read_response(&name, &mut Cut { stream, cut })) {
        Ok(body) => Ok(body.into_bytes()),
        Err(error) => Err(at_fault(&error)),
    };
    [request, response]
}

fn at_fault(error: &io::Error) -> bool {
    assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData), "{error}");
    error.kind() == io::ErrorKind::InvalidData
}

/// What a plain decoder says: one frame, and nothing behind it.
fn plain(stream: &[u8], cap: u32) -> Outcome {
    let (mut decoder, mut rest) = (FrameDecoder::new(cap), stream);
    match decoder.decode(&mut rest) {
        Ok(Some(frame)) if rest.is_empty() => Ok(frame),
        Ok(Some(_)) | Err(_) => Err(true),
        Ok(None) => Err(false),
    }
}

fn written(protocol: Protocol, body: &Bytes) -> Vec<u8> {
    let (name, mut codec, mut out) = (StreamProtocol::new("/any"), Codec::new(protocol, TXLIST_CAP), Vec::new());
    block_on(codec.write_response(&name, &mut out, body.clone().into())).expect("memory takes all");
    out
}

/// A stream that gives at most so many bytes at once.
struct Cut<'a> {
    stream: &'a [u8],
    cut: usize,
}

impl AsyncRead for Cut<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let len = self.cut.min(buffer.len()).min(self.stream.len());
        let (now, later) = self.stream.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.stream = later;
        Poll::Ready(Ok(len))
    }
}
