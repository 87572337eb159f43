//! A node knows where it can be reached, while the machine's addresses come and go.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::executor::{ThreadPool, block_on};
use futures::future::{BoxFuture, FutureExt, Pending, pending};
use futures::stream::StreamExt;
use libp2p_core::Transport;
use libp2p_core::muxing::StreamMuxerBox;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use preconf_core::{ChainId, Config, LookupId, Now, Time};
use preconf_node::{
    BoxedWork, Clock, Discovery, DiscoveryNews, Environment, JobRunner, Keypair, Multiaddr, NetworkConfig, NetworkDriver, NetworkEvent,
};

type Output = (libp2p_identity::PeerId, StreamMuxerBox);
type Told = TransportEvent<Pending<io::Result<Output>>, io::Error>;

/// A wildcard whose addresses the test tells.
struct Wildcard {
    id: Arc<Mutex<Option<ListenerId>>>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Transport for Wildcard {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = Pending<io::Result<Output>>;
    type Dial = Pending<io::Result<Output>>;

    fn listen_on(&mut self, id: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
        *self.id.lock().unwrap() = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Told> {
        match self.told.poll_next_unpin(context) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Notes what it is told, and when it is closed.
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, what: &str, address: &Multiaddr) {
        self.0.lock().unwrap().push(format!("{what} {}", address.iter().next().unwrap()));
    }
}

impl Discovery for Notes {
    fn look_up(&mut self, _: LookupId) {}

    fn introduce(&mut self, _: String) {}

    fn advertise_address(&mut self, _: IpAddr) {}

    fn listening(&mut self, address: &Multiaddr) {
        self.note("listening", address);
    }

    fn expired(&mut self, address: &Multiaddr) {
        self.note("silent", address);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move { self.0.lock().unwrap().push("closed".to_owned()) }.boxed()
    }

    fn poll_news(&mut self, _: &mut Context<'_>) -> Poll<DiscoveryNews> {
        Poll::Pending
    }
}

/// Time stands still, and there is no work.
struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        Now::default()
    }

    fn sleep_until(&self, _: Time) -> BoxFuture<'static, ()> {
        pending().boxed()
    }
}

impl JobRunner for Still {
    fn run(&self, work: BoxedWork) {
        work();
    }

    fn width(&self) -> usize {
        1
    }
}

#[test]
fn an_address_that_goes_is_told_and_one_that_comes_back_is_listed_once() {
    let threads = ThreadPool::new().unwrap();
    let (id, notes) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
    let (tell, told) = mpsc::unbounded();
    let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
    config.listen.push("/ip4/0.0.0.0/tcp/9".parse().unwrap());
    let tasks = threads.clone();
    let environment = Environment {
        transport: Wildcard { id: Arc::clone(&id), told }.boxed(),
        executor: Box::new(move |task| tasks.spawn_ok(task)),
        jobs: Box::new(Still),
        clock: Box::new(Still),
        discovery: Box::new(Notes(Arc::clone(&notes))),
        store: None,
        records: Vec::new(),
    };
    let (driver, handle, mut events) = NetworkDriver::new(config, environment).unwrap();
    threads.spawn_ok(driver.run());
    let listener_id = id.lock().unwrap().unwrap();
    let come = |listen_addr: &Multiaddr| TransportEvent::NewAddress { listener_id, listen_addr: listen_addr.clone() };
    let go = |listen_addr: &Multiaddr| TransportEvent::AddressExpired { listener_id, listen_addr: listen_addr.clone() };
    let [one, two]: [Multiaddr; 2] = ["/ip4/192.0.2.1/tcp/9", "/ip4/192.0.2.2/tcp/9"].map(|text| text.parse().unwrap());
    for event in [come(&one), come(&one), come(&two), go(&one), come(&one), go(&two)] {
        tell.unbounded_send(event).unwrap();
    }
    let mut heard = Vec::new();
    block_on(async {
        while heard.len() < 5 {
            match events.recv().await.unwrap() {
                NetworkEvent::Listening { address } => heard.push((true, vec![address])),
                NetworkEvent::ListenerClosed { addresses, reason: None } => heard.push((false, addresses)),
                other => panic!("{other:?}"),
            }
        }
        let us = libp2p_identity::PeerId::from_bytes(handle.local_peer_id().as_bytes()).unwrap();
        let full = |address: &Multiaddr| vec![address.clone().with_p2p(us).unwrap()];
        let wanted = [(true, full(&one)), (true, full(&two)), (false, full(&one)), (true, full(&one)), (false, full(&two))];
        assert_eq!(heard, wanted);
        assert_eq!(handle.listen_addresses().await.unwrap(), full(&one));
        handle.shutdown().await;
    });
    let (one, two) = ("/ip4/192.0.2.1", "/ip4/192.0.2.2");
    let wanted = [
        format!("listening {one}"),
        format!("listening {two}"),
        format!("silent {one}"),
        format!("listening {one}"),
        format!("silent {two}"),
        "closed".to_owned(), // before the shutdown was answered
    ];
    assert_eq!(*notes.lock().unwrap(), wanted);
}
