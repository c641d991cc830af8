//! The server with modules answers as their documentation says.

use redis::{Connection, RedisResult, Value};

use super::Side;
use super::server::Modules;

fn ask(c: &mut Connection, command: &str) -> RedisResult<Value> {
    let mut words = command.split(' ');
    let mut built = redis::cmd(words.next().unwrap());
    for word in words {
        built.arg(word);
    }
    built.query(c)
}

#[test]
fn documents_series_and_transactions() {
    let side = Side::start(Modules::new("only", &super::ALL));
    let client = redis::Client::open(side.uri()).unwrap();
    let c = &mut client.get_connection().unwrap();
    let mut said = Vec::new();
    for command in [
        "JSON.SET doc $ {\"a\":[1,2]}",
        "JSON.SET doc $.a 1",
        "JSON.SET other $ {",
        "JSON.GET doc",
        "JSON.GET doc $",
        "JSON.GET nothing",
        "TYPE doc",
        "TS.CREATE ts RETENTION 1000 DUPLICATE_POLICY LAST LABELS a b c d",
        "TS.CREATE ts",
        "TS.ADD ts 5 0.1",
        "TS.ADD ts 5 inf",
        "TS.MADD ts 7 -2 ts 9 1e300 nothing 1 1",
        "TS.RANGE ts - + COUNT 2",
        "TS.RANGE ts 6 9",
        "TYPE ts",
        "SET text a PXAT 4102444800123",
        "PEXPIRETIME text",
        "RENAME text moved",
        "SCAN 0 MATCH m* COUNT 10 TYPE string",
        "MGET moved doc",
        "MULTI",
        "UNLINK moved",
        "EXEC",
        "EXISTS moved doc ts",
        "RESTORE text 0 x",
    ] {
        let answer = match ask(c, command) {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!(
                "{} {}",
                error.code().unwrap_or(""),
                error.detail().unwrap_or("")
            ),
        };
        said.push(format!("{command}: {answer}"));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    JSON.SET doc $ {"a":[1,2]}: ok
    JSON.SET doc $.a 1: ERR new objects must be created at the root
    JSON.SET other $ {: ERR EOF while parsing an object at line 1 column 1
    JSON.GET doc: bulk-string('"{\"a\":[1,2]}"')
    JSON.GET doc $: bulk-string('"[{\"a\":[1,2]}]"')
    JSON.GET nothing: nil
    TYPE doc: simple-string("ReJSON-RL")
    TS.CREATE ts RETENTION 1000 DUPLICATE_POLICY LAST LABELS a b c d: ok
    TS.CREATE ts: ERR TSDB: key already exists
    TS.ADD ts 5 0.1: int(5)
    TS.ADD ts 5 inf: ERR TSDB: invalid value
    TS.MADD ts 7 -2 ts 9 1e300 nothing 1 1: ERR TSDB: the key is not a TSDB key
    TS.RANGE ts - + COUNT 2: array([array([int(5), simple-string("0.1")]), array([int(7), simple-string("-2")])])
    TS.RANGE ts 6 9: array([array([int(7), simple-string("-2")]), array([int(9), simple-string("1e300")])])
    TYPE ts: simple-string("TSDB-TYPE")
    SET text a PXAT 4102444800123: ok
    PEXPIRETIME text: int(4102444800123)
    RENAME text moved: ok
    SCAN 0 MATCH m* COUNT 10 TYPE string: array([bulk-string('"0"'), array([bulk-string('"moved"')])])
    MGET moved doc: array([bulk-string('"a"'), nil])
    MULTI: ok
    UNLINK moved: simple-string("QUEUED")
    EXEC: array([int(1)])
    EXISTS moved doc ts: int(2)
    RESTORE text 0 x: ERR Bad data format
    "#);
}

#[test]
fn a_command_of_a_module_that_is_not_loaded_is_unknown() {
    let side = Side::start(Modules::new("only", &["TS"]));
    let client = redis::Client::open(side.uri()).unwrap();
    let error = ask(&mut client.get_connection().unwrap(), "JSON.SET a $ 1").unwrap_err();
    assert!(
        error
            .detail()
            .unwrap()
            .contains("unknown command 'JSON.SET'"),
        "{error}"
    );
}
