//! One server or a whole cluster: what data is filled into, what a load goes to, what is read and compared.

use redis::{Connection, ConnectionLike, RedisResult, Value};

use crate::clusters::ClusterClient;
use crate::servers::{Server, Version};

/// A side of a replication.
pub(crate) trait Store: Sync {
    /// Which servers it is made of.
    fn version(&self) -> Version;

    /// Where riot finds it.
    fn uri(&self) -> String;

    /// A client of the tests' own; in a cluster it follows redirections. Only one server alone has other databases than 0.
    fn try_client(&self, database: u16) -> RedisResult<Client>;

    /// A connection to each server that holds keys of its own: all of them together hold everything, and each key once.
    fn holders(&self, database: u16) -> Vec<Connection>;

    /// Milliseconds by which an expiry that is read here may be off.
    fn tolerance(&self) -> i64;

    /// A client of the tests' own.
    fn client_to(&self, database: u16) -> Client {
        self.try_client(database).unwrap()
    }

    /// A client of the tests' own, to database 0.
    fn client(&self) -> Client {
        self.client_to(0)
    }

    /// Runs one command, split at spaces, and fails the test where it fails.
    fn tell(&self, command: &str) {
        let mut words = command.split(' ');
        let mut built = redis::cmd(words.next().unwrap());
        for word in words {
            built.arg(word);
        }
        built
            .exec(&mut self.client())
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Keys in database 0.
    fn count(&self) -> u64 {
        let counts = self.holders(0).into_iter().map(|mut connection| {
            let keys: u64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
            keys
        });
        counts.sum()
    }

    /// Deletes everything.
    fn flush(&self) {
        for mut connection in self.holders(0) {
            redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
        }
    }
}

impl Store for Server {
    fn version(&self) -> Version {
        self.version()
    }

    fn uri(&self) -> String {
        self.uri()
    }

    fn try_client(&self, database: u16) -> RedisResult<Client> {
        Ok(Client::Server(self.try_connection(database)?))
    }

    fn holders(&self, database: u16) -> Vec<Connection> {
        vec![self.connection_to(database)]
    }

    /// A server without PEXPIRETIME tells an expiry as what is left of it: the way of that answer is in it.
    fn tolerance(&self) -> i64 {
        if self.version().since_70() { 0 } else { 50 }
    }
}

/// A client of either.
pub(crate) enum Client {
    /// To a database of one server.
    Server(Connection),
    /// To a cluster: each command goes where its key is.
    Cluster(ClusterClient),
}

impl Client {
    fn inner(&mut self) -> &mut dyn ConnectionLike {
        match self {
            Self::Server(connection) => connection,
            Self::Cluster(client) => client,
        }
    }
}

impl ConnectionLike for Client {
    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        self.inner().req_packed_command(packed)
    }

    fn req_packed_commands(
        &mut self,
        packed: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.inner().req_packed_commands(packed, offset, count)
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(client) => client.get_db(),
        }
    }

    fn check_connection(&mut self) -> bool {
        self.inner().check_connection()
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Server(connection) => connection.is_open(),
            Self::Cluster(client) => client.is_open(),
        }
    }
}
