//! `[github.limits]`: the paces at GitHub.

use forge::github::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `[github.limits]`: for each account or installation. What is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GitHubLimits {
    /// Allows values above the defaults, up to what GitHub publishes.
    pub allow_raising: bool,
    /// Requests under way at once, at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// The most that clean answers raise it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_most: Option<u64>,
    /// Points a minute over REST: a read is one, a write five.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points_per_minute: Option<u64>,
    /// Points a minute over GraphQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphql_points_per_minute: Option<u64>,
    /// Seconds of response time a minute, REST and GraphQL together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_seconds_per_minute: Option<u64>,
    /// Seconds of response time a minute over GraphQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphql_work_seconds_per_minute: Option<u64>,
    /// Issues, comments, pull requests and merges a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_per_minute: Option<u64>,
    /// Issues, comments, pull requests and merges an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_per_hour: Option<u64>,
    /// The most pull requests an hour; left out, 60 at the start and up to 150 while GitHub does not object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulls_per_hour: Option<u64>,
}

/// One key: its name, its value, its default and what GitHub publishes.
type Row = (&'static str, Option<u64>, u64, u64);

impl GitHubLimits {
    fn rows(&self) -> [Row; 9] {
        let usual = Limits::default();
        let count = |n: usize| n as u64;
        [
            ("concurrency", self.concurrency, count(usual.concurrency), 100),
            ("concurrency_most", self.concurrency_most, count(usual.concurrency_most), 100),
            ("points_per_minute", self.points_per_minute, usual.points_per_minute, 900),
            ("graphql_points_per_minute", self.graphql_points_per_minute, usual.graphql_points_per_minute, 2_000),
            ("work_seconds_per_minute", self.work_seconds_per_minute, usual.work_per_minute.as_secs(), 90),
            (
                "graphql_work_seconds_per_minute",
                self.graphql_work_seconds_per_minute,
                usual.graphql_work_per_minute.as_secs(),
                60,
            ),
            ("content_per_minute", self.content_per_minute, count(usual.content_per_minute), 80),
            ("content_per_hour", self.content_per_hour, count(usual.content_per_hour), 500),
            ("pulls_per_hour", self.pulls_per_hour, count(usual.pulls_per_hour), 500),
        ]
    }

    /// The paces that these keys mean.
    ///
    /// # Errors
    /// When one is 0, above its default without `allow_raising`, or above what GitHub publishes.
    pub fn limits(&self) -> Result<Limits, ConfigError> {
        for (key, value, usual, published) in self.rows() {
            let Some(value) = value else { continue };
            let wrong = |why: String| Err(ConfigError(format!("github.limits.{key} is {value}; {why}")));
            if value == 0 {
                return wrong("it must be at least 1".to_owned());
            } else if value > published {
                return wrong(format!("GitHub allows {published}"));
            } else if value > usual && !self.allow_raising {
                return wrong(format!(
                    "above {usual} GitHub may block the account; set allow_raising = true if you mean it"
                ));
            }
        }
        let [concurrency, most, points, graphql_points, work, graphql_work, minute, hour, pulls] =
            self.rows().map(|(_, value, usual, _)| value.unwrap_or(usual));
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let usual = Limits::default();
        Ok(Limits {
            concurrency: count(concurrency),
            // Who names a start above the usual most means at least that.
            concurrency_most: count(self.concurrency_most.unwrap_or(most.max(concurrency))),
            points_per_minute: points,
            graphql_points_per_minute: graphql_points,
            work_per_minute: std::time::Duration::from_secs(work),
            graphql_work_per_minute: std::time::Duration::from_secs(graphql_work),
            content_per_minute: count(minute),
            content_per_hour: count(hour),
            pulls_per_hour: count(pulls),
            pulls_per_hour_most: self.pulls_per_hour.map_or(usual.pulls_per_hour_most, count),
            ..usual
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let keys: GitHubLimits = toml::from_str(text).unwrap();
        keys.limits().map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn lower_is_always_fine_and_higher_must_be_meant() {
        assert_eq!(said("concurrency = 3\ncontent_per_hour = 10"), "");
        assert!(said("content_per_hour = 301").contains("above 300 GitHub may block the account"));
        assert_eq!(said("allow_raising = true\ncontent_per_hour = 500"), "");
        assert!(said("allow_raising = true\ncontent_per_hour = 501").contains("GitHub allows 500"));
        assert!(said("points_per_minute = 0").contains("at least 1"));
    }

    #[test]
    fn a_named_number_of_pull_requests_is_the_most_there_is() {
        let keys = GitHubLimits { pulls_per_hour: Some(5), ..GitHubLimits::default() };
        let limits = keys.limits().unwrap();
        assert_eq!((limits.pulls_per_hour, limits.pulls_per_hour_most), (5, 5));
        let usual = GitHubLimits::default().limits().unwrap();
        assert_eq!((usual.pulls_per_hour, usual.pulls_per_hour_most), (60, 150));
    }
}
