//! A stretch of network between a client and a server, at the test's command.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A server that is gone refuses at once; one that does not even do that is given up.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const PIECE_BYTES: usize = 16 << 10;

/// Where connections lead, and whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    target: SocketAddr,
    passes: Passes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    /// Everything, both ways.
    Everything,
    /// Nothing, but connections stay: what was sent arrives later.
    Later,
    /// Nothing: connections end.
    Nothing,
}

/// Passes on what is sent to its address, until told otherwise. Ends with the value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// One on a free port that leads to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let way = watch::Sender::new(Way { target, passes: Passes::Everything });
        let ways = way.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, ways.subscribe()));
            }
        });
        Self { address, way, accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps everything that is sent from now on, without ending a connection.
    pub fn pause(&self) {
        self.way.send_modify(|way| way.passes = Passes::Later);
    }

    /// Ends all connections and every new one.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.passes = Passes::Nothing);
    }

    /// Lets everything pass again, also what was kept.
    pub fn mend(&self) {
        self.way.send_modify(|way| way.passes = Passes::Everything);
    }

    /// Leads elsewhere from now on; connections that led to another place end.
    pub fn lead_to(&self, target: SocketAddr) {
        self.way.send_modify(|way| way.target = target);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, mut way: watch::Receiver<Way>) {
    let target = way.borrow_and_update().target;
    let (mut up, mut down) = (way.clone(), way.clone());
    let both = async {
        open(&mut up).await?;
        let server = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(target)).await??;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            ended = pass(from_client, to_server, &mut up) => ended,
            ended = pass(from_server, to_client, &mut down) => ended,
        }
    };
    // Either way the connections end here: one of them has ended, or they shall.
    tokio::select! {
        _ = both => {}
        _ = way.wait_for(|way| way.passes == Passes::Nothing || way.target != target) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        open(way).await?;
        to.write_all(&piece[..read]).await?;
    }
}

async fn open(way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let open = way.wait_for(|way| way.passes == Passes::Everything).await;
    open.map(|_| ()).map_err(io::Error::other)
}
