//! INFO, as far as a run needs it.

use std::collections::HashMap;

/// The fields of an INFO answer.
#[derive(Debug, Clone, Default)]
pub struct Info {
    fields: HashMap<String, String>,
}

impl Info {
    /// Reads an INFO answer.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let fields = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { fields }
    }

    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A field's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A field's number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Keys of a database that have an expiry; `None` where INFO was not allowed.
    #[must_use]
    pub fn expires(&self, database: u32) -> Option<u64> {
        if self.fields.is_empty() {
            return None;
        }
        let Some(line) = self.text(&format!("db{database}")) else {
            return Some(0);
        };
        line.split(',')
            .find_map(|field| field.strip_prefix("expires="))?
            .parse()
            .ok()
    }

    /// Calls of a command that ran without an error, by INFO commandstats; a rejected call is not counted as one there.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let Some(line) = self.text(&format!("cmdstat_{command}")) else {
            return 0;
        };
        let field = |name: &str| {
            line.split(',')
                .find_map(|field| field.strip_prefix(name))
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        field("calls=").saturating_sub(field("failed_calls="))
    }

    /// Databases that have keys, in their order.
    #[must_use]
    pub fn databases(&self) -> Vec<u32> {
        let numbers = self.fields.keys().filter_map(|name| {
            let number = name.strip_prefix("db")?;
            number.parse().ok()
        });
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    /// Keys of a database, where that is told.
    #[must_use]
    pub fn keys(&self, database: u32) -> Option<u64> {
        let line = self.text(&format!("db{database}"))?;
        let keys = line
            .split(',')
            .find_map(|field| field.strip_prefix("keys="));
        keys?.parse().ok()
    }

    /// Whether another database than this one has keys.
    #[must_use]
    pub fn has_other_databases(&self, database: u32) -> bool {
        self.databases().iter().any(|number| *number != database)
    }

    /// Adds the fields of another answer.
    pub fn extend(&mut self, other: Self) {
        self.fields.extend(other.fields);
    }

    /// Whether a flag is 1.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.text(name) == Some("1")
    }

    /// `Redis 7.0.15`, `Valkey 8.1.1`; Valkey calls itself Redis 7.2.4 in the field that Redis has.
    #[must_use]
    pub fn product(&self) -> Option<String> {
        if let Some(version) = self.text("valkey_version") {
            return Some(format!("Valkey {version}"));
        }
        self.text("redis_version")
            .map(|version| format!("Redis {version}"))
    }

    /// `standalone`, `cluster`, `sentinel`.
    #[must_use]
    pub fn mode(&self) -> Option<&str> {
        self.text("redis_mode").or_else(|| self.text("server_mode"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name() {
        let info = Info::parse(
            "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.1\r\nloading:1\r\nused_memory:42\r\n\
             # Keyspace\r\ndb0:keys=3,expires=2,avg_ttl=0\r\n",
        );
        assert_eq!(info.product().as_deref(), Some("Valkey 8.1.1"));
        assert_eq!(info.number("used_memory"), Some(42));
        assert_eq!(
            [info.expires(0), info.expires(1), Info::default().expires(0)],
            [Some(2), Some(0), None]
        );
        assert!(info.is_set("loading") && !info.is_set("cluster_enabled"));
    }
}
