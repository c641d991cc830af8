//! `--state` with several databases: a file for each, until all are done.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{pair, same};
use crate::data;
use crate::riot::Riot;
use crate::servers::Server;
use crate::wait;

struct Kept {
    folder: TempDir,
}

impl Kept {
    fn file(&self, database: u16) -> PathBuf {
        self.folder.path().join(format!("state.db{database}"))
    }

    fn riot(&self, source: &Server, target: &Server) -> Riot {
        let run = super::copy(source, target, "all")
            .words(["--state".into(), self.folder.path().join("state")]);
        run.words(["--rate", "2000"])
    }
}

fn filled() -> (Server, Server) {
    let (source, target) = pair();
    for (database, keys) in [(0, 500), (3, 3000), (5, 500)] {
        let mut connection = source.connection_to(database);
        let mut pipe = redis::pipe();
        for key in 0..keys {
            pipe.cmd("SET")
                .arg(format!("key:{key}"))
                .arg(database)
                .ignore();
        }
        pipe.exec(&mut connection).unwrap();
    }
    (source, target)
}

#[test]
fn a_copy_that_was_killed_goes_on_in_the_database_where_it_was() {
    for signal in ["KILL", "TERM"] {
        let (source, target) = filled();
        let kept = Kept {
            folder: crate::state::folder_in_memory(),
        };
        let running = kept.riot(&source, &target).spawn();
        wait::until("the second database is under way", || {
            (target.keys(3) > 1000).then_some(())
        });
        running.signal(signal);
        let output = running.finish();
        assert!(output.code() != Some(0), "{output}");
        assert!(kept.file(0).exists() && kept.file(3).exists(), "{output}");
        let before = source.calls("mget");
        let output = kept.riot(&source, &target).run().exits(0);
        let output = output
            .says("db0: picked up: all keys were copied before")
            .says("db3: picked up at ");
        assert!(source.calls("mget") > before, "{output}");
        let again = output.counts().scanned;
        assert!(again < 3000, "{again} keys were copied again\n{output}");
        same(&source, &target, &[(0, 0), (3, 3), (5, 5)]);
        for database in [0, 3, 5] {
            assert!(
                !kept.file(database).exists(),
                "nothing is left to be picked up"
            );
        }
        data::assert_same(&source, &target);
    }
}
