//! A client of the tests' own that follows a cluster's redirections and waits where it changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Connection, ConnectionLike, RedisError, RedisResult, Value};

use super::view::View;
use super::{Node, Nodes, SLOTS, slot};
use crate::wait;

/// The longest that one answer of one node may take: a paused node is one that is away.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to each node by its unix socket, and which slot is whose as far as is known.
pub(crate) struct ClusterClient {
    nodes: Nodes,
    /// By slot, the node's place in `nodes`.
    owners: Vec<Option<usize>>,
    connections: HashMap<usize, Connection>,
}

/// Where an answer sends a command.
enum Redirection {
    Moved,
    Ask { port: u16 },
    Wait,
}

impl Redirection {
    fn of(error: &RedisError) -> Option<Self> {
        match error.code()? {
            "MOVED" => Some(Self::Moved),
            "ASK" => {
                let port = error.detail()?.rsplit_once(':')?.1.parse().ok()?;
                Some(Self::Ask { port })
            }
            "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => Some(Self::Wait),
            _ => None,
        }
    }
}

impl ClusterClient {
    pub(super) fn new(nodes: &Nodes) -> Self {
        let mut client = Self {
            nodes: Arc::clone(nodes),
            owners: vec![None; usize::from(SLOTS)],
            connections: HashMap::new(),
        };
        client.learn();
        client
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap().clone()
    }

    fn connection(&mut self, index: usize) -> RedisResult<&mut Connection> {
        if !self.connections.contains_key(&index) {
            let node = Arc::clone(&self.nodes.read().unwrap()[index]);
            if !node.is_running() {
                return Err(std::io::Error::other("the node is away").into());
            }
            let connection = node.try_connection(0)?;
            connection.set_read_timeout(Some(ANSWER))?;
            self.connections.insert(index, connection);
        }
        Ok(self.connections.get_mut(&index).unwrap())
    }

    /// Asks the nodes in turn which slot is whose, until one answers. The one that knows the latest masters is not known: a
    /// redirection leads to this again.
    fn learn(&mut self) {
        let nodes = self.nodes();
        // Where one node has been asked in vain, another one may know more.
        let first = fastrand::usize(0..nodes.len());
        for turn in 0..nodes.len() {
            let index = (first + turn) % nodes.len();
            let view = self.connection(index).and_then(View::of);
            let Ok(view) = view else {
                self.connections.remove(&index);
                continue;
            };
            let ids: Vec<&str> = nodes.iter().map(|node| node.id()).collect();
            self.owners = view.places(&ids);
            return;
        }
    }

    /// Sends one command to where its key is, for as long as the cluster is not ready for it.
    fn send(&mut self, packed: &[u8], key: Option<&[u8]>) -> RedisResult<Value> {
        let started = Instant::now();
        let mut asked: Option<usize> = None;
        loop {
            let place = asked.take();
            let answer = self.send_once(packed, key, place);
            let error = match answer {
                Ok(Value::ServerError(error)) => RedisError::from(error),
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let next = Redirection::of(&error);
            let lost = error.is_io_error() || error.is_connection_dropped();
            if next.is_none() && !lost || started.elapsed() > wait::SOON {
                return Err(error);
            }
            match next {
                Some(Redirection::Ask { port }) => {
                    let mut nodes = self.nodes().into_iter();
                    asked = nodes.position(|node| node.port() == port);
                    assert!(asked.is_some(), "a node on port {port}");
                }
                Some(Redirection::Moved) => self.follow(key, &error),
                Some(Redirection::Wait) | None => {
                    wait::pause(Duration::from_millis(5));
                    self.learn();
                }
            }
        }
    }

    /// Takes a MOVED at its word; one that names no known port is asked about.
    fn follow(&mut self, key: Option<&[u8]>, error: &RedisError) {
        let port = error.detail().and_then(|text| text.rsplit_once(':'));
        let port: Option<u16> = port.and_then(|(_, port)| port.parse().ok());
        let mut nodes = self.nodes().into_iter();
        let place = nodes.position(|node| Some(node.port()) == port);
        match key {
            Some(key) if place.is_some() => self.owners[usize::from(slot(key))] = place,
            _ => self.learn(),
        }
    }

    fn send_once(
        &mut self,
        packed: &[u8],
        key: Option<&[u8]>,
        asked: Option<usize>,
    ) -> RedisResult<Value> {
        let away = || RedisError::from(std::io::Error::other("nobody owns the slot"));
        let owner = key.map_or_else(
            || self.owners.iter().flatten().next().copied(),
            |key| self.owners[usize::from(slot(key))],
        );
        let place = asked.or(owner).ok_or_else(away)?;
        let connection = self.connection(place)?;
        let answer = if asked.is_some() {
            // In one write: nothing comes between the two.
            let both = [redis::cmd("ASKING").get_packed_command(), packed.to_vec()].concat();
            let answers = connection.req_packed_commands(&both, 0, 2);
            answers.map(|mut answers| answers.pop().unwrap())
        } else {
            connection.req_packed_command(packed)
        };
        if answer.as_ref().is_err_and(|error| error.code().is_none()) {
            self.connections.remove(&place);
        }
        answer
    }
}

impl ConnectionLike for ClusterClient {
    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        let words = words(packed).next().unwrap().0;
        self.send(packed, key_of(&words).map(<[u8]>::to_vec).as_deref())
    }

    /// Each node gets its commands in one write; those that it sends elsewhere go there one by one.
    fn req_packed_commands(
        &mut self,
        packed: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        assert!(offset == 0, "no transactions here");
        let commands: Vec<(Option<&[u8]>, &[u8])> = words(packed)
            .map(|(words, packed)| (key_of(&words), packed))
            .collect();
        assert!(commands.len() == count);
        let mut places: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (number, (key, _)) in commands.iter().enumerate() {
            let place = key.and_then(|key| self.owners[usize::from(slot(key))]);
            places.entry(place).or_default().push(number);
        }
        let mut answers = vec![Value::Nil; count];
        for (place, numbers) in places {
            let together: Vec<u8> = numbers
                .iter()
                .flat_map(|number| commands[*number].1.iter().copied())
                .collect();
            let some = place.map_or_else(Vec::new, |place| {
                let connection = self.connection(place);
                connection
                    .and_then(|c| c.req_packed_commands(&together, 0, numbers.len()))
                    .unwrap_or_default()
            });
            let known = some.len() == numbers.len();
            for (index, number) in numbers.into_iter().enumerate() {
                let answer = some.get(index).filter(|_| known);
                let final_one = answer.is_some_and(|answer| match answer {
                    Value::ServerError(error) => {
                        Redirection::of(&RedisError::from(error.clone())).is_none()
                    }
                    _ => true,
                });
                answers[number] = if final_one {
                    answer.unwrap().clone()
                } else {
                    let (key, packed) = commands[number];
                    self.send(packed, key)?
                };
            }
        }
        Ok(answers)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// The words of each command in turn, with the command as it was packed.
fn words(packed: &[u8]) -> impl Iterator<Item = (Vec<&[u8]>, &[u8])> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest;
        let count = number(&mut rest);
        let words = (0..count).map(|_| {
            let length = number(&mut rest);
            let (word, after) = rest.split_at(length);
            rest = &after[2..];
            word
        });
        let words = words.collect();
        Some((words, &start[..start.len() - rest.len()]))
    })
}

/// The number of `*3\r\n` or `$7\r\n`.
fn number(rest: &mut &[u8]) -> usize {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let number = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
    *rest = &rest[end + 2..];
    number
}

/// The key that says where a command goes.
fn key_of<'a>(words: &[&'a [u8]]) -> Option<&'a [u8]> {
    let name = words[0].to_ascii_uppercase();
    let place = match name.as_slice() {
        b"TIME" | b"PING" | b"INFO" | b"CONFIG" | b"CLUSTER" | b"DBSIZE" | b"WAIT" => return None,
        b"EVAL" => 3,
        b"XGROUP" | b"XINFO" | b"OBJECT" | b"MEMORY" => 2,
        b"XREADGROUP" => {
            let streams = |word: &&[u8]| word.eq_ignore_ascii_case(b"STREAMS");
            words.iter().position(streams)? + 1
        }
        _ => 1,
    };
    words.get(place).copied()
}
