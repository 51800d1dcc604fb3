//! A name server on this machine.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, MX, TXT},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// Longest string of a TXT record, in bytes.
const MAX_STRING: usize = 255;

/// A name server that responds over UDP and TCP with the records that it was given.
#[derive(Clone)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: Vec<(String, RData)>,
    /// Names with a response code instead of records.
    codes: Vec<(String, ResponseCode)>,
    /// Names whose queries get no response.
    silent: BTreeSet<String>,
    /// The transport and the name of each query.
    queries: Vec<(&'static str, String)>,
}

impl NameServer {
    /// Starts a server without records.
    pub async fn start() -> Self {
        let (udp, tcp) = bind().await;
        let address = udp.local_addr().expect("a bound port");
        let zone = Arc::<Mutex<Zone>>::default();
        tokio::spawn(serve_udp(udp, zone.clone()));
        tokio::spawn(serve_tcp(tcp, zone.clone()));
        Self { address, zone }
    }

    /// Returns the server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a TXT record. A long text becomes several strings.
    pub fn txt(&self, name: &str, text: &str) {
        let strings = text.as_bytes().chunks(MAX_STRING).collect();
        self.add(name, RData::TXT(TXT::from_bytes(strings)));
    }

    /// Adds a CNAME record.
    pub fn cname(&self, name: &str, target: &str) {
        self.add(name, RData::CNAME(CNAME(absolute(target))));
    }

    /// Adds an MX record.
    pub fn mx(&self, name: &str, preference: u16, host: &str) {
        self.add(name, RData::MX(MX::new(preference, absolute(host))));
    }

    fn add(&self, name: &str, data: RData) {
        self.zone().records.push((name.to_owned(), data));
    }

    /// Removes the records of `name`.
    pub fn remove(&self, name: &str) {
        self.zone().records.retain(|(owner, _)| owner != name);
    }

    /// Responds with `code` to queries for `name`.
    pub fn fail(&self, name: &str, code: ResponseCode) {
        self.zone().codes.push((name.to_owned(), code));
    }

    /// Ignores queries for `name`.
    pub fn ignore(&self, name: &str) {
        self.zone().silent.insert(name.to_owned());
    }

    /// Returns the names that were asked for over `transport`, which is `udp` or `tcp`.
    #[must_use]
    pub fn queries(&self, transport: &str) -> Vec<String> {
        let queries = &self.zone().queries;
        let over_transport = queries.iter().filter(|(over, _)| *over == transport);
        over_transport.map(|(_, name)| name.clone()).collect()
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        lock(&self.zone)
    }
}

fn lock(zone: &Mutex<Zone>) -> std::sync::MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a name")
}

fn relative(name: &Name) -> String {
    let name = name.to_ascii().to_ascii_lowercase();
    name.trim_end_matches('.').to_owned()
}

/// Binds both transports to one port, which must be free for both.
async fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let tcp = tcp.expect("a free port");
        let address = tcp.local_addr().expect("a bound port");
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).expect("a DNS message");
        let limit = usize::from(query.max_payload());
        let Some(response) = lock(&zone).respond("udp", &query) else {
            continue;
        };
        let mut bytes = response.to_vec().expect("a DNS message");
        if bytes.len() > limit {
            bytes = response.truncate().to_vec().expect("a DNS message");
        }
        // The client may be gone.
        let _ = socket.send_to(&bytes, client).await;
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let zone = zone.clone();
        tokio::spawn(async move {
            // An error means that the client closed the connection.
            let _ = serve_stream(stream, &zone).await;
        });
    }
}

/// Serves the queries of one connection. Each follows its length.
async fn serve_stream(mut stream: TcpStream, zone: &Mutex<Zone>) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut buffer = vec![0; length.into()];
        stream.read_exact(&mut buffer).await?;
        let query = Message::from_vec(&buffer).expect("a DNS message");
        let response = lock(zone).respond("tcp", &query);
        if let Some(response) = response {
            let bytes = response.to_vec().expect("a DNS message");
            let length = u16::try_from(bytes.len()).expect("a length");
            stream.write_u16(length).await?;
            stream.write_all(&bytes).await?;
        }
    }
}

impl Zone {
    /// Returns the response to `query`, with the CNAME records on the way to the records.
    fn respond(&mut self, transport: &'static str, query: &Message) -> Option<Message> {
        let question = &query.queries[0];
        let name = relative(&question.name);
        self.queries.push((transport, name.clone()));
        if self.silent.contains(&name) {
            return None;
        }
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        if let Some(edns) = &query.edns {
            response.set_edns(edns.clone());
        }
        let answers = self.answers(&name, question.query_type);
        response.metadata.response_code = self.code(&name);
        response.add_answers(answers);
        Some(response)
    }

    fn code(&self, name: &str) -> ResponseCode {
        if let Some((_, code)) = self.codes.iter().find(|(owner, _)| owner == name) {
            return *code;
        }
        let is_known = self.records.iter().any(|(owner, _)| owner == name);
        if is_known {
            ResponseCode::NoError
        } else {
            ResponseCode::NXDomain
        }
    }

    fn answers(&self, name: &str, kind: RecordType) -> Vec<Record> {
        let mut answers = Vec::new();
        let mut owner = name.to_owned();
        loop {
            let of_owner = self.records.iter().filter(|(name, _)| *name == owner);
            let data: Vec<_> = of_owner.map(|(_, data)| data.clone()).collect();
            let fitting = data.iter().filter(|data| data.record_type() == kind);
            let record = |data: &RData| Record::from_rdata(absolute(&owner), 60, data.clone());
            answers.extend(fitting.map(record));
            let Some(RData::CNAME(target)) =
                data.iter().find(|data| matches!(data, RData::CNAME(_)))
            else {
                return answers;
            };
            if kind == RecordType::CNAME {
                return answers;
            }
            answers.push(record(&RData::CNAME(target.clone())));
            owner = relative(&target.0);
        }
    }
}
