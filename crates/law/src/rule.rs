//! Rules: one annotated Cedar policy each, read strictly.
//!
//! Invariant: a rule names its citation, its mark and its dates; it reads facts and nothing
//! else; and it cannot tell an unknown fact from a known one except by failing. So a rule
//! gives the same answer whatever an unread fact is, and none when it needs a missing one.
//! Refs: packs/README.md, "Rules"; Cedar policy language, JSON policy format.

use core::str::FromStr;
use std::collections::BTreeSet;

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
};
use jiff::civil::Date;
use serde_json::Value as Json;

use crate::citation::{Citation, Mark};
use crate::opinion::Produce;
use crate::pack::{CitationEntry, LoadError};
use crate::reason::ReasonCode;

/// The questions asked about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Produce,
    Preserve,
    Advise,
}

impl Question {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Preserve => "preserve",
            Self::Advise => "advise",
        }
    }
}

/// What a rule says when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// A permit: on `produce` or `preserve`, a basis; on `advise`, advice.
    Permit,
    /// A forbid, from the strongest to the weakest.
    Refuse,
    Object,
    Hold,
    Refer,
}

/// One rule of a pack.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    /// `pack.rule`, as opinions name it.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) policy: Policy,
    pub(crate) questions: Vec<Question>,
    pub(crate) says: Says,
    pub(crate) citations: Vec<Citation>,
    pub(crate) from: Option<Date>,
    pub(crate) until: Option<Date>,
    pub(crate) codes: Vec<ReasonCode>,
    pub(crate) review: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) form: Option<String>,
    pub(crate) narrow: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) clock: Option<String>,
    pub(crate) notice: Option<String>,
    pub(crate) produce: Option<Produce>,
    /// The facts it reads.
    pub(crate) reads: BTreeSet<String>,
}

impl Rule {
    pub(crate) fn in_force(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }

    pub(crate) fn refused(&self, problem: &str) -> LoadError {
        LoadError::Rule { file: self.file.clone(), rule: self.id.clone(), problem: problem.into() }
    }
}

/// Octets from one rule's end to the next.
const RULE_OCTETS_MAX: usize = 4096;
/// Open brackets at any place.
const BRACKETS_MAX: usize = 16;
/// How deep a condition may be nested.
const DEPTH_MAX: u8 = 64;

/// Every annotation a rule may carry.
const ANNOTATIONS: [&str; 14] = [
    "rule", "cite", "mark", "from", "until", "effect", "code", "review", "note", "form", "narrow",
    "route", "clock", "notice",
];
/// And one more: how a produced item is produced.
const PRODUCE: &str = "produce";

/// Reads every rule of one `.cedar` file.
pub(crate) fn read_rules(
    pack: &str,
    file: &str,
    text: &str,
    citations: &[CitationEntry],
) -> Result<Vec<Rule>, LoadError> {
    let refuse = |problem: String| LoadError::File { file: file.into(), problem };
    shallow(text).map_err(|problem| refuse(problem.into()))?;
    let set = PolicySet::from_str(text).map_err(|error| refuse(error.to_string()))?;
    if set.num_of_templates() != 0 {
        return Err(refuse("has a template; write each rule out".into()));
    }
    let mut rules = vec![];
    for policy in set.policies() {
        let reader = Reader { pack, file, policy, citations };
        rules.push(reader.read()?);
    }
    rules.sort_by(|a, b| (&a.id, a.from).cmp(&(&b.id, b.from)));
    Ok(rules)
}

/// Refuses what could exhaust the stack of Cedar's recursive parser: octets between semicolons
/// bound how deep an expression can be, and open brackets are counted.
fn shallow(text: &str) -> Result<(), &'static str> {
    let (mut octets, mut open, mut quoted, mut escaped) = (0_usize, 0_usize, false, false);
    for octet in text.bytes() {
        octets += 1;
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => octets = 0,
            b'(' | b'[' | b'{' if !quoted => open += 1,
            b')' | b']' | b'}' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
        if octets > RULE_OCTETS_MAX {
            return Err("has a rule longer than 4,096 octets, comments included; split it");
        }
        if open > BRACKETS_MAX {
            return Err("has brackets nested more than 16 deep; simplify the rule");
        }
    }
    Ok(())
}

struct Reader<'a> {
    pack: &'a str,
    file: &'a str,
    policy: &'a Policy,
    citations: &'a [CitationEntry],
}

impl Reader<'_> {
    fn refuse(&self, problem: impl Into<String>) -> LoadError {
        let id = self.policy.annotation("rule").unwrap_or("without @rule");
        LoadError::Rule { file: self.file.into(), rule: id.into(), problem: problem.into() }
    }

    fn text(&self, key: &str) -> Result<Option<String>, LoadError> {
        match self.policy.annotation(key) {
            None => Ok(None),
            Some(text) if text.trim().is_empty() || text.len() > 1_000 => {
                Err(self.refuse(format!("@{key} is empty, or longer than 1,000 octets")))
            }
            Some(text) => Ok(Some(text.to_owned())),
        }
    }

    fn date(&self, key: &str) -> Result<Option<Date>, LoadError> {
        self.text(key)?
            .map(|text| {
                text.parse().map_err(|_| self.refuse(format!("@{key} is not a date: `{text}`")))
            })
            .transpose()
    }

    fn read(&self) -> Result<Rule, LoadError> {
        for (key, _) in self.policy.annotations() {
            if !ANNOTATIONS.contains(&key) && key != PRODUCE {
                return Err(self.refuse(format!("has an unknown annotation `@{key}`")));
            }
        }
        let id = self.text("rule")?.ok_or_else(|| self.refuse("has no @rule: give it an id"))?;
        let (from, until) = (self.date("from")?, self.date("until")?);
        if from.is_some() && until.is_some() && from >= until {
            return Err(self.refuse("@until is not after @from"));
        }
        let name = format!("{}.{id}", self.pack);
        let (questions, says) = self.scope()?;
        let span = from.map_or_else(String::new, |from| format!("@{from}"));
        let rule = Rule {
            citations: self.cited(&name, from, until)?,
            policy: self.policy.new_id(PolicyId::new(format!("{name}{span}"))),
            file: format!("{}/{}", self.pack, self.file),
            codes: self.codes()?,
            review: self.text("review")?,
            note: self.text("note")?,
            form: self.text("form")?,
            narrow: self.text("narrow")?,
            route: self.text("route")?,
            clock: self.text("clock")?,
            notice: self.text("notice")?,
            produce: self.produce()?,
            reads: self.reads()?,
            id,
            name,
            questions,
            says,
            from,
            until,
        };
        let advice = rule.questions == [Question::Advise];
        if !advice && (rule.narrow.is_some() || rule.produce.is_some()) {
            return Err(self.refuse("@narrow and @produce belong on a rule about advise"));
        }
        Ok(rule)
    }

    fn mark(&self) -> Result<Mark, LoadError> {
        match self.policy.annotation("mark") {
            Some("V") => Ok(Mark::V),
            Some("V/K") => Ok(Mark::Partly),
            Some("K") => Ok(Mark::K),
            _ => Err(self.refuse("has no @mark: V, V/K or K")),
        }
    }

    fn cited(
        &self,
        name: &str,
        from: Option<Date>,
        until: Option<Date>,
    ) -> Result<Vec<Citation>, LoadError> {
        let mark = self.mark()?;
        let ids =
            self.text("cite")?.ok_or_else(|| self.refuse("has no @cite: name its citation"))?;
        let mut out = vec![];
        for id in ids.split_whitespace() {
            let Some(entry) = self.citations.iter().find(|one| one.id == id) else {
                return Err(self.refuse(format!("cites `{id}`, which pack.toml does not have")));
            };
            let early = entry.from.is_some_and(|start| from.is_none_or(|from| from < start));
            let late = entry.until.is_some_and(|end| until.is_none_or(|until| until > end));
            if early || late {
                return Err(self.refuse(format!("is used on days when `{id}` is not in force")));
            }
            out.push(Citation {
                rule: name.to_owned(),
                text: entry.text.clone(),
                // A rule is no surer than what it cites.
                mark: mark.max(entry.mark),
                from,
                until,
            });
        }
        Ok(out)
    }

    fn codes(&self) -> Result<Vec<ReasonCode>, LoadError> {
        let Some(text) = self.text("code")? else { return Ok(vec![]) };
        text.split_whitespace()
            .map(|word| {
                ReasonCode::parse(word)
                    .ok_or_else(|| self.refuse(format!("`{word}` is no reason code")))
            })
            .collect()
    }

    fn produce(&self) -> Result<Option<Produce>, LoadError> {
        match self.policy.annotation(PRODUCE) {
            None => Ok(None),
            Some("ciphertext") => Ok(Some(Produce::Ciphertext)),
            Some(_) => Err(self.refuse("@produce can only be \"ciphertext\"")),
        }
    }

    fn scope(&self) -> Result<(Vec<Question>, Says), LoadError> {
        let open = matches!(self.policy.principal_constraint(), PrincipalConstraint::Any)
            && matches!(self.policy.resource_constraint(), ResourceConstraint::Any);
        if !open {
            return Err(self.refuse("names a principal or resource; write conditions on context"));
        }
        let actions = match self.policy.action_constraint() {
            ActionConstraint::Eq(action) => vec![action],
            ActionConstraint::In(actions) => actions,
            ActionConstraint::Any => vec![],
        };
        let mut questions = vec![];
        for action in &actions {
            questions.push(match action.id().unescaped() {
                "produce" => Question::Produce,
                "preserve" => Question::Preserve,
                "advise" => Question::Advise,
                other => return Err(self.refuse(format!("`{other}` is no action"))),
            });
        }
        let advice = questions.contains(&Question::Advise);
        if questions.is_empty() || (advice && questions.len() > 1) {
            return Err(self.refuse("names its action: produce, preserve or, alone, advise"));
        }
        let says = match (self.policy.effect(), self.policy.annotation("effect")) {
            (Effect::Permit, None) if questions.len() == 1 => Says::Permit,
            (Effect::Permit, _) => {
                return Err(self.refuse("a permit has one action and no @effect"));
            }
            (Effect::Forbid, _) if advice => return Err(self.refuse("advice does not forbid")),
            (Effect::Forbid, Some("refuse")) => Says::Refuse,
            (Effect::Forbid, Some("object")) => Says::Object,
            (Effect::Forbid, Some("hold")) => Says::Hold,
            (Effect::Forbid, Some("refer")) => Says::Refer,
            (Effect::Forbid, _) => {
                return Err(self.refuse("a forbid has an @effect: refuse, object, hold or refer"));
            }
        };
        Ok((questions, says))
    }

    /// The facts a rule reads; refuses whatever could tell a missing fact from a known one.
    fn reads(&self) -> Result<BTreeSet<String>, LoadError> {
        let json = self.policy.to_json().map_err(|error| self.refuse(error.to_string()))?;
        let mut reads = BTreeSet::new();
        let conditions = json.get("conditions").and_then(Json::as_array);
        for condition in conditions.into_iter().flatten() {
            let body = condition.get("body").unwrap_or(&Json::Null);
            walk(body, DEPTH_MAX, &mut reads).map_err(|word| {
                self.refuse(format!(
                    "uses `{word}`, which no rule may use: read facts as context.name"
                ))
            })?;
        }
        Ok(reads)
    }
}

/// Walks an expression of Cedar's JSON policy format. Only operators that fail on a missing
/// fact are let through: no `has`, no comparison of the whole context, no tags.
fn walk(expression: &Json, depth: u8, reads: &mut BTreeSet<String>) -> Result<(), String> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err("a condition nested too deeply".into());
    };
    let Some((operator, inside)) = expression.as_object().and_then(|map| map.iter().next()) else {
        return Err("an expression without operator".into());
    };
    match operator.as_str() {
        "Value" => Ok(()),
        "." => {
            let left = inside.get("left").and_then(|left| left.get("Var")).and_then(Json::as_str);
            match (left, inside.get("attr").and_then(Json::as_str)) {
                (Some("context"), Some(attribute)) => {
                    reads.insert(attribute.to_owned());
                    Ok(())
                }
                _ => Err(".".into()),
            }
        }
        "Set" => {
            inside.as_array().into_iter().flatten().try_for_each(|one| walk(one, deeper, reads))
        }
        "!" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||" | "contains" => inside
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::values)
            .try_for_each(|one| walk(one, deeper, reads)),
        other => Err(other.to_owned()),
    }
}
