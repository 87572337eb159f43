//! What has the node to tell, and is there room for more?
//!
//! A queue between the driver, which alone writes, and the application, which alone reads. Nothing is dropped while there is a reader.
//! The bound is kept by the driver: it reads from strangers only while [`EventSender::has_room`], and takes timers, commands and finished
//! jobs only while not [`EventSender::is_choked`]. So at most `capacity` events and one step's outputs wait after a stranger's input, and
//! while the node runs never more than `capacity` and two steps' outputs. Its last words, one event or two for each connection that a
//! shutdown closes, come on top.
//!
//! Invariant: `bytes` is the sum of the weights of what is in `queue`. Only `push` and `pop` touch them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use futures::task::AtomicWaker;
use multiaddr::Multiaddr;
use preconf_core::{Event, MAX_OUTPUTS_PER_STEP, Outcome, SIGNED_COMMITMENT_BYTES};

/// What a node tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// The node can be reached at this address, `/p2p/…` included.
    Listening {
        /// The address.
        address: Multiaddr,
    },
    /// The node can no longer be reached at these addresses.
    ListenerClosed {
        /// The addresses.
        addresses: Vec<Multiaddr>,
        /// What went wrong, if something did.
        reason: Option<String>,
    },
    /// Others find the node by this record now (P8.7).
    OwnRecord {
        /// The record, as text.
        record: String,
    },
    /// News from the protocol.
    Core(Event),
}

impl NetworkEvent {
    /// Bytes that the event keeps in memory beyond its own size.
    fn weight(&self) -> usize {
        match self {
            Self::Core(Event::BlockReady { txlist: Some(txlist), .. }) => txlist.len(),
            Self::Core(Event::CommandFinished { outcome, .. }) => match outcome {
                Outcome::TxList { txlist: Some(txlist), .. } => txlist.len(),
                Outcome::Commitments { commitments, .. } => commitments.len() * SIGNED_COMMITMENT_BYTES,
                _ => 0,
            },
            _ => 0,
        }
    }
}

/// The application's end: read it, or drop it when no event matters.
///
/// Also a [`Stream`]. Ends when the node has shut down and everything is read.
#[derive(Debug)]
pub struct NetworkEvents {
    shared: Arc<Shared>,
}

impl NetworkEvents {
    /// The next event, or `None` when the node has shut down. Cancel safe.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event if one waits.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        let event = self.shared.lock().pop();
        self.shared.writer.wake();
        event
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<NetworkEvent>> {
        self.shared.reader.register(context.waker());
        let next = self.shared.lock().next();
        self.shared.writer.wake();
        next
    }
}

impl Stream for NetworkEvents {
    type Item = NetworkEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<NetworkEvent>> {
        self.poll_recv(context)
    }
}

impl Drop for NetworkEvents {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.reader_gone = true;
        while queue.pop().is_some() {}
        drop(queue);
        self.shared.writer.wake();
    }
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct EventSender {
    shared: Arc<Shared>,
    capacity: usize,
    max_bytes: usize,
}

/// Opens a queue for about `capacity` events that hold about `max_bytes` of txlists.
pub(crate) fn queue(capacity: usize, max_bytes: usize) -> (EventSender, NetworkEvents) {
    let shared = Arc::<Shared>::default();
    (EventSender { shared: Arc::clone(&shared), capacity, max_bytes }, NetworkEvents { shared })
}

impl EventSender {
    /// Adds an event. Without a reader it goes nowhere.
    pub(crate) fn push(&self, event: NetworkEvent) {
        let mut queue = self.shared.lock();
        if queue.reader_gone {
            return;
        }
        queue.bytes += event.weight();
        queue.queue.push_back(event);
        drop(queue);
        self.shared.reader.wake();
    }

    /// May a stranger's input be taken, which may cause events?
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.shared.lock();
        queue.queue.len() < self.capacity && queue.bytes < self.max_bytes
    }

    /// Is even the reserve used up, which timers and our own user may fill? One step's outputs, or as many bytes again.
    pub(crate) fn is_choked(&self) -> bool {
        let queue = self.shared.lock();
        queue.queue.len() >= self.capacity + MAX_OUTPUTS_PER_STEP || queue.bytes / 2 >= self.max_bytes
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Is there room? If not, whoever asked is woken when there may be.
    pub(crate) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.writer.register(context.waker());
        if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.shared.lock().writer_gone = true;
        self.shared.reader.wake();
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    queue: VecDeque<NetworkEvent>,
    bytes: usize,
    reader_gone: bool,
    writer_gone: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can panic half way, so a poisoned queue is a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<NetworkEvent> {
        let event = self.queue.pop_front()?;
        self.bytes -= event.weight();
        Some(event)
    }

    /// What a reader gets. Both questions are asked under one lock: a writer that adds its last event and leaves between two looks would
    /// else take that event with it.
    fn next(&mut self) -> Poll<Option<NetworkEvent>> {
        match self.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.writer_gone => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::FutureExt;
    use preconf_core::PeerId;

    use super::*;

    fn event(n: u8) -> NetworkEvent {
        NetworkEvent::Core(Event::PeerConnected { peer: PeerId::from_bytes(&[n]).expect("one byte") })
    }

    fn room(sender: &EventSender) -> Poll<()> {
        sender.poll_room(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_queue_loses_nothing_and_says_that_it_is_full() {
        let (sender, mut events) = queue(2, 1);
        (0..5).for_each(|n| sender.push(event(n)));
        assert!(!sender.has_room());
        assert!(room(&sender).is_pending());
        let read: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(read, (0..5).map(event).collect::<Vec<_>>());
        assert!(room(&sender).is_ready());
    }

    #[test]
    fn the_reserve_holds_one_step_more_than_the_channel() {
        let (sender, _events) = queue(2, 1);
        (0..MAX_OUTPUTS_PER_STEP + 1).for_each(|_| sender.push(event(1)));
        assert!(!sender.is_choked());
        sender.push(event(1));
        assert!(sender.is_choked());
    }

    #[test]
    fn answers_weigh_as_much_as_blocks() {
        let (sender, mut events) = queue(100, 10);
        let peer = PeerId::from_bytes(&[1]).expect("one byte");
        let command = preconf_core::CommandId(1);
        let finished = |outcome| NetworkEvent::Core(Event::CommandFinished { command, outcome });
        let answer = |len| finished(Outcome::TxList { peer, txlist: Some(vec![0; len].into()) });
        sender.push(finished(Outcome::TxList { peer, txlist: None }));
        sender.push(answer(9));
        assert!(sender.has_room());
        sender.push(answer(1));
        assert!(!sender.has_room() && !sender.is_choked());
        sender.push(answer(10));
        assert!(sender.is_choked(), "the reserve is as many bytes again");
        while events.try_recv().is_some() {}
        assert!(sender.has_room());
        sender.push(finished(Outcome::Commitments { peer, commitments: Vec::new() }));
        assert!(sender.has_room());
    }

    #[test]
    fn the_last_event_of_a_driver_that_vanishes_between_two_looks_is_read() {
        let mut queue = Queue::default();
        assert_eq!(queue.next(), Poll::Pending);
        queue.queue.push_back(event(1));
        queue.writer_gone = true;
        assert_eq!([queue.next(), queue.next()], [Poll::Ready(Some(event(1))), Poll::Ready(None)]);
    }

    #[test]
    fn the_stream_ends_after_the_last_event_of_a_driver_that_is_gone() {
        let (sender, mut events) = queue(2, 1);
        sender.push(event(1));
        assert_eq!(events.recv().now_or_never(), Some(Some(event(1))));
        assert_eq!(events.recv().now_or_never(), None);
        drop(sender);
        assert_eq!(events.recv().now_or_never(), Some(None));
    }

    #[test]
    fn without_a_reader_there_is_always_room() {
        let (sender, events) = queue(1, 1);
        sender.push(event(1));
        drop(events);
        sender.push(event(2));
        assert!(sender.has_room());
        assert_eq!(sender.waiting(), 0);
    }
}
