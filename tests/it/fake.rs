//! A server of the tests' own that knows the commands of the lanes, and fails as it is told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the server does with one command.
pub(crate) enum Does {
    /// Answers.
    Says(Vec<u8>),
    /// Closes the connection, whatever it did before.
    Hangs,
}

/// What commands do. Shared by all connections: its state is the server's.
pub(crate) trait Behaviour: Send + 'static {
    fn command(&mut self, words: &[Vec<u8>]) -> Does;
    /// Bytes of an answer that leave before the connection is cut, for this one answer.
    fn cut(&mut self, answer: usize) -> Option<usize>;
    /// What INFO tells.
    fn info(&self) -> String {
        "run_id:fake\n".into()
    }
}

/// A running server; it ends with this value.
pub(crate) struct Fake<B> {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<B>>,
    _tasks: JoinSet<()>,
}

impl<B: Behaviour> Fake<B> {
    pub(crate) async fn start(behaviour: B) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(behaviour));
        let shared = state.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, shared.clone()));
            }
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }
}

async fn serve<B: Behaviour>(mut socket: TcpStream, state: Arc<Mutex<B>>) {
    let mut input = Vec::new();
    let mut queued: Option<Vec<Vec<Vec<u8>>>> = None;
    loop {
        let mut out = Vec::new();
        let mut hang = false;
        while let Some((words, used)) = command(&input) {
            input.drain(..used);
            let answer = execute(&words, &mut queued, &state);
            let Does::Says(answer) = answer else {
                hang = true;
                break;
            };
            if let Some(bytes) = state.lock().unwrap().cut(answer.len()) {
                out.extend_from_slice(&answer[..bytes.min(answer.len())]);
                hang = true;
                break;
            }
            out.extend_from_slice(&answer);
        }
        if socket.write_all(&out).await.is_err() || hang {
            return;
        }
        let mut piece = vec![0; 64 * 1024];
        match socket.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => input.extend_from_slice(&piece[..bytes]),
        }
    }
}

fn execute<B: Behaviour>(
    words: &[Vec<u8>],
    queued: &mut Option<Vec<Vec<Vec<u8>>>>,
    state: &Mutex<B>,
) -> Does {
    let says = |text: &str| Does::Says(text.as_bytes().to_vec());
    match words[0].as_slice() {
        b"HELLO" => says("-ERR unknown command 'HELLO'\r\n"),
        b"CLIENT" => says("+OK\r\n"),
        b"PING" => says("+PONG\r\n"),
        b"INFO" if queued.is_none() => Does::Says(bulk(state.lock().unwrap().info().as_bytes())),
        b"MULTI" => {
            *queued = Some(Vec::new());
            says("+OK\r\n")
        }
        b"DISCARD" if queued.take().is_some() => says("+OK\r\n"),
        b"EXEC" => {
            let Some(commands) = queued.take() else {
                return says("-ERR EXEC without MULTI\r\n");
            };
            let mut answer = format!("*{}\r\n", commands.len()).into_bytes();
            for command in commands {
                match state.lock().unwrap().command(&command) {
                    Does::Says(one) => answer.extend_from_slice(&one),
                    Does::Hangs => return Does::Hangs,
                }
            }
            Does::Says(answer)
        }
        _ => match queued {
            Some(queued) => {
                queued.push(words.to_vec());
                says("+QUEUED\r\n")
            }
            None => state.lock().unwrap().command(words),
        },
    }
}

/// The first whole command of the input, and its bytes.
fn command(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let mut line = |kind: u8| -> Option<(usize, usize)> {
        let rest = &input[at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        assert_eq!(rest[0], kind, "{}", rest.escape_ascii());
        let number = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
        at += end + 2;
        Some((number, at))
    };
    let (count, mut start) = line(b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let rest = input.get(start..)?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let len: usize = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
        let word = start + end + 2;
        words.push(input.get(word..word + len)?.to_vec());
        start = word + len + 2;
        input.get(start - 1)?;
    }
    Some((words, start))
}

/// A bulk string.
pub(crate) fn bulk(value: &[u8]) -> Vec<u8> {
    let mut answer = format!("${}\r\n", value.len()).into_bytes();
    answer.extend_from_slice(value);
    answer.extend_from_slice(b"\r\n");
    answer
}

/// Faults in a row of commands, by a seed: so many at most, so that a case ends.
pub(crate) struct Dice {
    random: fastrand::Rng,
    pub(crate) left: u32,
}

impl Dice {
    pub(crate) fn new(seed: u64, faults: u32) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            left: faults,
        }
    }

    /// Whether a fault that comes once in `odds` comes now.
    pub(crate) fn falls(&mut self, odds: u32) -> bool {
        let falls = self.left > 0 && self.random.u32(..odds) == 0;
        self.left -= u32::from(falls);
        falls
    }

    /// A number below a bound, for what is no fault.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound)
    }
}

/// What a server was asked to hold.
pub(crate) type Store = HashMap<Vec<u8>, Vec<u8>>;
