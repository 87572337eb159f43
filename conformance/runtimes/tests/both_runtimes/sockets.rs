//! Transports without a node on top: who listens, who dials, and what comes of it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use libp2p_core::Endpoint;
use libp2p_core::muxing::{StreamMuxer, StreamMuxerBox};
use libp2p_core::transport::{DialOpts, ListenerId, PortUse, Transport as _, TransportEvent};
use libp2p_identity::PeerId;
use preconf_node::preconf_libp2p::Transport;
use preconf_node::{Keypair, Multiaddr};

use crate::runtime::{Runtime, soon};

/// How the suite dials.
pub(crate) const DIAL: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

/// What a transport that listens has to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// It can be reached here.
    Address(Multiaddr),
    /// Somebody came in, and this is what became of the handshake.
    Upgraded(io::Result<PeerId>),
    /// It listens no longer.
    Closed(io::Result<()>),
}

/// A transport that listens and keeps whoever comes.
pub(crate) struct Server {
    /// Who it is.
    pub(crate) peer: PeerId,
    /// The first address that it told.
    pub(crate) address: Multiaddr,
    told: mpsc::UnboundedReceiver<Told>,
    close: Option<oneshot::Sender<()>>,
}

impl Server {
    /// Listens at an address, on a runtime.
    pub(crate) async fn listen<R: Runtime>(at: &str) -> io::Result<Self> {
        let (keypair, at) = (Keypair::generate_secp256k1(), address(at));
        let peer = keypair.public().to_peer_id();
        let (tell, mut told) = mpsc::unbounded();
        let (close, closing) = oneshot::channel();
        on::<R, _>(async move {
            let (mut transport, id) = (R::transport(&keypair).expect("a key for noise"), ListenerId::next());
            transport.listen_on(id, at).map_err(io::Error::other)?;
            R::spawn(Box::pin(serve::<R>(transport, id, tell, closing)));
            io::Result::Ok(())
        })
        .await?;
        let Told::Address(address) = next(&mut told).await else { panic!("a listener tells first where it is") };
        Ok(Self { peer, address, told, close: Some(close) })
    }

    /// What it tells next.
    pub(crate) async fn next(&mut self) -> Told {
        next(&mut self.told).await
    }

    /// Closes the listener. Whoever came in stays.
    pub(crate) fn close(&mut self) {
        self.close.take().expect("it is closed once").send(()).expect("it serves");
    }
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    soon("a word of the listener", told.next()).await.expect("it serves while it is there")
}

async fn serve<R: Runtime>(
    mut transport: Transport,
    id: ListenerId,
    tell: mpsc::UnboundedSender<Told>,
    mut closing: oneshot::Receiver<()>,
) {
    loop {
        let event = match select(pin!(transport.select_next_some()), &mut closing).await {
            Either::Left((event, _)) => event,
            Either::Right((Ok(()), _)) => {
                assert!(transport.remove_listener(id), "it is there");
                closing = oneshot::channel().1; // an order that never comes
                continue;
            }
            Either::Right((Err(_), event)) => event.await, // nobody is left to close it
        };
        let told = match event {
            TransportEvent::NewAddress { listen_addr, .. } => Told::Address(listen_addr),
            TransportEvent::ListenerClosed { reason, .. } => Told::Closed(reason),
            TransportEvent::Incoming { upgrade, .. } => {
                let tell = tell.clone();
                R::spawn(Box::pin(async move {
                    let (told, connection) = match upgrade.await {
                        Ok((peer, connection)) => (Ok(peer), Some(connection)),
                        Err(error) => (Err(error), None),
                    };
                    let _ = tell.unbounded_send(Told::Upgraded(told)); // the test is over
                    if let Some(connection) = connection {
                        drive(connection).await;
                    }
                }));
                continue;
            }
            TransportEvent::AddressExpired { .. } | TransportEvent::ListenerError { .. } => continue,
        };
        if tell.unbounded_send(told).is_err() {
            return; // the test is over
        }
    }
}

/// A connection lives while it is driven.
async fn drive(mut connection: StreamMuxerBox) {
    while poll_fn(|context| Pin::new(&mut connection).poll(context)).await.is_ok() {}
}

/// A connection to a server; dropping it closes the connection.
pub(crate) struct Connected {
    /// Whom it leads to.
    pub(crate) peer: PeerId,
    ended: oneshot::Receiver<()>,
    _open: oneshot::Sender<()>,
}

impl Connected {
    /// Does it still stand?
    pub(crate) fn stands(&mut self) -> bool {
        self.ended.try_recv() == Ok(None)
    }
}

/// Dials an address, on a runtime.
pub(crate) async fn dial<R: Runtime>(to: &str) -> io::Result<Connected> {
    let to = address(to);
    let dialing = on::<R, _>(async move {
        let mut transport = R::transport(&Keypair::generate_secp256k1()).expect("a key for noise");
        let dial = transport.dial(to, DIAL).map_err(io::Error::other)?;
        let (peer, connection) = dial.await?;
        let ((open, close), (end, ended)) = (oneshot::channel::<()>(), oneshot::channel());
        R::spawn(Box::pin(async move {
            select(pin!(drive(connection)), close).await;
            drop(end);
        }));
        Ok(Connected { peer, ended, _open: open })
    });
    soon("the dial's end", dialing).await
}

/// Runs a future as a task of a runtime, and gives what it comes to.
pub(crate) async fn on<R: Runtime, T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (answer, answered) = oneshot::channel();
    R::spawn(Box::pin(async move {
        let _ = answer.send(work.await); // who asked no longer waits
    }));
    answered.await.expect("the work does not panic")
}

pub(crate) fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

/// What an error says, and what led to it. The layers on the way hide the kind of what the system said, not its words.
pub(crate) fn words(error: &io::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said += &format!("; {cause}");
        next = cause.source();
    }
    said
}
