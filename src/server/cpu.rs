//! What a server spends of its time, by the CPU seconds that INFO names.

use redis::{FromRedisValue, RedisError, Value};

use super::control::Control;
use super::info::Info;

/// Seconds of a core, or shares of one: what a server was busy for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// With everything.
    pub(super) all: f64,
    /// With the commands that a run asks for, whoever asked.
    pub(super) commands: f64,
}

/// Seconds that the server's main thread has used, or the whole server where that alone is told, and those that it counts for
/// the commands that a run asks for.
pub(super) async fn used(control: &mut Control) -> Result<Option<Load>, RedisError> {
    let sections = [vec!["INFO", "cpu"], vec!["INFO", "commandstats"]];
    let mut answers = control.all(&sections).await?.into_iter().map(parse);
    let (cpu, commands) = (
        answers.next().unwrap_or_default(),
        answers.next().unwrap_or_default(),
    );
    Ok(all(&cpu).map(|all| Load {
        all,
        commands: spent(&commands),
    }))
}

/// The first of these alone.
pub(super) async fn used_by_all(control: &mut Control) -> Result<Option<f64>, RedisError> {
    let mut answers = control.all(&[vec!["INFO", "cpu"]]).await?.into_iter();
    Ok(answers.next().and_then(|answer| all(&parse(answer))))
}

fn parse(answer: Result<Value, RedisError>) -> Info {
    let text = answer.and_then(|value| Ok(String::from_redis_value(value)?));
    Info::parse(&text.unwrap_or_default())
}

fn all(cpu: &Info) -> Option<f64> {
    let seconds = |name: &str| cpu.text(name)?.parse::<f64>().ok();
    let sum = |of: &str| {
        Some(seconds(&format!("used_cpu_user{of}"))? + seconds(&format!("used_cpu_sys{of}"))?)
    };
    sum("_main_thread").or_else(|| sum(""))
}

/// Seconds that INFO commandstats counts for a run's commands. EXEC has those in it that stand in its transactions.
fn spent(info: &Info) -> f64 {
    let of = |names: &[&str]| -> f64 {
        let micros = names.iter().filter_map(|name| {
            let line = info.text(&format!("cmdstat_{name}"))?;
            let field = line
                .split(',')
                .find_map(|field| field.strip_prefix("usec="))?;
            field.parse::<f64>().ok()
        });
        micros.sum::<f64>() / 1e6
    };
    let values = of(&["mget", "dump", "pexpiretime", "pttl"]);
    of(&["scan", "memory", "memory|usage"]) + values.max(of(&["exec"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_not_counted_twice() {
        let info = "cmdstat_scan:calls=1,usec=1000000,usec_per_call=1\r\n\
                    cmdstat_exec:calls=2,usec=5000000,usec_per_call=1\r\n\
                    cmdstat_mget:calls=2,usec=2000000,usec_per_call=1\r\n\
                    cmdstat_get:calls=2,usec=9000000,usec_per_call=1\r\n\
                    cmdstat_pttl:calls=2,usec=1000000,usec_per_call=1\r\n";
        assert!((spent(&Info::parse(info)) - 6.0).abs() < 1e-9);
    }
}
