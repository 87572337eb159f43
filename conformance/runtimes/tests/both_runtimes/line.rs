//! A TCP line that can be made to stall in the middle of a transfer.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::channel::oneshot;
use preconf_node::Multiaddr;

/// A line to a node, on threads of its own. Dropping it cuts it.
pub(crate) struct Line {
    /// Where to dial instead of the node's own address.
    pub(crate) address: Multiaddr,
    allowance: Arc<AtomicUsize>,
    ends: Arc<Mutex<Vec<TcpStream>>>,
    stalled: oneshot::Receiver<()>,
}

impl Line {
    /// Lays a line for one connection to the node at this address.
    pub(crate) fn to(node: &Multiaddr) -> Self {
        let parts: Vec<String> = node.to_string().split('/').map(str::to_owned).collect(); // "", ip4, <ip>, tcp, <port>, p2p, <id>
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", parts[6]).parse().expect("a multiaddr");
        let (allowance, ends) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (stall, stalled) = oneshot::channel();
        let line = Self { address, allowance: Arc::clone(&allowance), ends: Arc::clone(&ends), stalled };
        let target = format!("{}:{}", parts[2], parts[4]);
        thread::spawn(move || {
            let (dialer, _) = listener.accept().expect("someone dials");
            let node = TcpStream::connect(target).expect("the node listens");
            let other = |end: &TcpStream| end.try_clone().expect("a handle to a socket");
            ends.lock().expect("no panic").extend([other(&dialer), other(&node)]);
            let (mut from_dialer, mut to_node) = (other(&dialer), other(&node));
            thread::spawn(move || copy(&mut from_dialer, &mut to_node));
            carry_back(node, dialer, &allowance, stall);
        });
        line
    }

    /// Lets this many bytes more come from the node, then none.
    pub(crate) fn stall_after(&self, bytes: usize) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Waits until the line has stalled.
    pub(crate) async fn stalled(&mut self) {
        (&mut self.stalled).await.expect("the line stands");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for end in self.ends.lock().expect("no panic").iter() {
            let _ = end.shutdown(Shutdown::Both); // cut already, from the other end
        }
    }
}

fn carry_back(mut node: TcpStream, mut dialer: TcpStream, allowance: &AtomicUsize, stall: oneshot::Sender<()>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(len @ 1..) = node.read(&mut buffer) {
        if allowance.load(Ordering::SeqCst) < len {
            let _ = stall.send(()); // who cuts the line need not have waited for this
            return; // the sockets stay open in `ends`
        }
        allowance.fetch_sub(len, Ordering::SeqCst);
        if dialer.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}
