//! A TCP line that can be made to stall in the middle of a transfer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use preconf_tokio::Multiaddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A line to a node. Dropping it cuts it.
pub struct Line {
    /// Where to dial instead of the node's own address.
    pub address: Multiaddr,
    allowance: Arc<AtomicUsize>,
    stalled: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Line {
    /// Lays a line for one connection to the node at this address.
    pub async fn to(node: &Multiaddr) -> Self {
        let parts: Vec<String> = node.to_string().split('/').map(str::to_owned).collect(); // "", ip4, <ip>, tcp, <port>, p2p, <id>
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", parts[6]).parse().expect("a multiaddr");
        let (allowance, stalled) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(Notify::new()));
        let target = format!("{}:{}", parts[2], parts[4]);
        let task = tokio::spawn(carry(listener, target, Arc::clone(&allowance), Arc::clone(&stalled)));
        Self { address, allowance, stalled, task }
    }

    /// Lets this many bytes more come from the node, then none.
    pub fn stall_after(&self, bytes: usize) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Waits until the line has stalled.
    pub async fn stalled(&self) {
        self.stalled.notified().await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, target: String, allowance: Arc<AtomicUsize>, stalled: Arc<Notify>) {
    let (dialer, _) = listener.accept().await.expect("someone dials");
    let node = TcpStream::connect(target).await.expect("the node listens");
    let (mut from_dialer, mut to_dialer) = dialer.into_split();
    let (mut from_node, mut to_node) = node.into_split();
    let back = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(len @ 1..) = from_node.read(&mut buffer).await {
            if allowance.load(Ordering::SeqCst) < len {
                stalled.notify_one();
                std::future::pending::<()>().await;
            }
            allowance.fetch_sub(len, Ordering::SeqCst);
            if to_dialer.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
    };
    let _ = tokio::join!(copy(&mut from_dialer, &mut to_node), back);
}
