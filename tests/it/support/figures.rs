//! What a service tells of itself in the text format of Prometheus, read as strictly as the format allows.

use std::collections::{BTreeMap, BTreeSet};

use super::Reply;

/// Each sample by its name with its labels, as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Reads an answer, or says what is wrong with it.
    #[track_caller]
    pub(crate) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let content_type = reply.header("content-type");
        assert_eq!(
            content_type,
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Self::read(&reply.text()).unwrap_or_else(|problem| panic!("{problem}"))
    }

    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if !text.ends_with('\n') {
            return Err("the last line doesn't end".to_owned());
        }
        let mut figures = BTreeMap::new();
        let mut families = BTreeSet::new();
        let (mut family, mut kind) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').ok_or("help without words")?;
                if words.is_empty() || !is_name(name) || !families.insert(name.to_owned()) {
                    return Err(format!("not the head of a family of its own: {line}"));
                }
                (family, kind) = (name.to_owned(), String::new());
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                let (name, what) = told.split_once(' ').ok_or("a type without a name")?;
                if name != family || !["counter", "gauge", "histogram"].contains(&what) {
                    return Err(format!("not the type of {family}: {line}"));
                }
                kind = what.to_owned();
            } else {
                let (series, value) = sample(line).ok_or(format!("no sample: {line}"))?;
                let name = series.split('{').next().unwrap_or_default();
                let is_own = match kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|end| name.strip_suffix(end) == Some(&*family)),
                    _ => name == family,
                };
                if !is_own || kind.is_empty() {
                    return Err(format!("a sample of another family than {family}: {line}"));
                }
                if kind != "gauge" && value < 0.0 {
                    return Err(format!("less than nothing happened: {line}"));
                }
                if figures.insert(series, value).is_some() {
                    return Err(format!("told twice: {line}"));
                }
            }
        }
        let figures = Self(figures);
        figures.check_histograms()?;
        Ok(figures)
    }

    /// Buckets hold what those below them hold, and the last one everything.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in &self.0 {
            if let Some((name, bound)) = series.split_once("_bucket{le=\"") {
                let bound = bound.trim_end_matches("\"}").replace("+Inf", "inf");
                let bound = bound.parse().map_err(|_| format!("no bound: {series}"))?;
                buckets.entry(name).or_default().push((bound, *value));
            }
        }
        for (name, mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            let is_rising = buckets.windows(2).all(|two| two[0].1 <= two[1].1);
            let last = buckets.last().copied().unwrap_or_default();
            if !is_rising || !last.0.is_infinite() || last.1 != self.get(&format!("{name}_count")) {
                return Err(format!("{name}: {buckets:?}"));
            }
            self.get(&format!("{name}_sum"));
        }
        Ok(())
    }

    /// A sample that must be there.
    #[track_caller]
    pub(crate) fn get(&self, series: &str) -> f64 {
        match self.0.get(series) {
            Some(value) => *value,
            None => panic!("{series} is not told"),
        }
    }

    /// The names of all samples with their labels.
    pub(crate) fn series(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Option<(String, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_label = |label: &str| {
        let Some((key, value)) = label.split_once('=') else {
            return false;
        };
        let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        is_name(key) && value.is_some_and(|value| !value.contains(['"', '\\', '\n']))
    };
    let are_labels = labels.is_empty() || labels.split(',').all(is_label);
    (is_name(name) && are_labels).then_some(())?;
    Some((series.to_owned(), value.parse().ok()?))
}
