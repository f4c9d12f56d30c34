//! Reads the process's own metrics back, for the health page.

use std::collections::BTreeSet;

/// One line of Prometheus text.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// A snapshot of everything that is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    /// Reads Prometheus text; lines that are none are left out.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).collect())
    }

    /// The values that a label has on a metric.
    pub(crate) fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let of_label =
            |sample: &Sample| sample.labels.iter().find(|(key, _)| key == label).map(|(_, value)| value.clone());
        self.0.iter().filter(|sample| sample.name == name).filter_map(of_label).collect()
    }

    /// The sum of the series of a metric that carry all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The `quantile` (0 to 1) of a histogram's series that carry all of `labels`, interpolated within its bucket;
    /// `None` without a measurement.
    pub(crate) fn quantile(&self, name: &str, labels: &[(&str, &str)], quantile: f64) -> Option<f64> {
        let buckets = format!("{name}_bucket");
        let mut edges: Vec<(f64, f64)> = Vec::new();
        for sample in self.matching(&buckets, labels) {
            let edge = sample.labels.iter().find(|(key, _)| key == "le")?.1.parse::<f64>().ok()?;
            match edges.iter_mut().find(|(known, _)| *known == edge) {
                Some((_, count)) => *count += sample.value,
                None => edges.push((edge, sample.value)),
            }
        }
        edges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = edges.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let wanted = total * quantile;
        let (mut below_edge, mut below_count) = (0.0, 0.0);
        for (edge, count) in edges {
            if count >= wanted && count > below_count {
                // Above the last bucket nothing more is known than its lower edge.
                let within = (wanted - below_count) / (count - below_count);
                return Some(if edge.is_infinite() { below_edge } else { below_edge + (edge - below_edge) * within });
            }
            (below_edge, below_count) = (edge, count);
        }
        None
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.iter().any(|(k, v)| k == key && v == value);
            sample.name == name && labels.iter().all(has)
        })
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, parse_labels(rest.strip_suffix('}')?)),
        None => (series, Vec::new()),
    };
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// Our own label values hold no quotes and no line breaks.
fn parse_labels(text: &str) -> Vec<(String, String)> {
    text.split("\",")
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE ccm_x counter
ccm_x{operation="run",outcome="ok"} 3
ccm_x{operation="run",outcome="failed"} 1
ccm_d_bucket{operation="run",le="1"} 0
ccm_d_bucket{operation="run",le="2"} 3
ccm_d_bucket{operation="run",le="4"} 4
ccm_d_bucket{operation="run",le="+Inf"} 4
ccm_plain 0.5"#;

    #[test]
    fn sums_and_quantiles_are_read_back() {
        let samples = Samples::parse(TEXT);
        assert_eq!(samples.sum("ccm_x", &[("operation", "run")]), 4.0);
        assert_eq!(samples.sum("ccm_x", &[("outcome", "failed")]), 1.0);
        assert_eq!(samples.sum("ccm_plain", &[]), 0.5);
        assert_eq!(samples.values("ccm_x", "outcome").into_iter().collect::<Vec<_>>(), ["failed", "ok"]);
        assert_eq!(samples.quantile("ccm_d", &[("operation", "run")], 0.375), Some(1.5));
        assert_eq!(samples.quantile("ccm_d", &[("operation", "run")], 1.0), Some(4.0));
        assert_eq!(samples.quantile("ccm_d", &[("operation", "scan")], 0.5), None);
    }
}
