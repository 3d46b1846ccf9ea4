//! Words of a company's name that say what kind of company it is.

use std::sync::LazyLock;

/// Forms that nothing else is called, folded as names are. Several words stand before their parts.
const FORMS: &str = "\
    private limited|sapi de cv|sab de cv|sa de cv|s de rl de cv|s de rl|sp z oo|sp z o o|s a r l|d o o|s r o|s p a|\
    s r l|ذ م م|ش م م|ش م ع|ش ذ م م|co op|limited|ltd|ltda|llc|llp|lllp|plc|pllc|cic|inc|\
    incorporated|corp|corporation|company|gmbh|ggmbh|mbh|ohg|gbr|partg|sarl|sarlau|sas|sasu|eurl|snc|\
    scop|scrl|srl|srls|sapa|bvba|sprl|nv|bv|vof|aps|oyj|uab|eood|ood|doo|kft|zrt|nyrt|sro|spzoo|pty|\
    pte|pvt|sdn|bhd|berhad|tbk|eirl|lda|slu|sau|kabushiki kaisha|godo kaisha|fze|fzc|fzco|\
    fzllc|wll|psc|saoc|saog|sae|pjsc|ojsc|cjsc|jsc|ооо|оао|зао|пао|нао|ао|ип|чп|фоп|тоо|тов|пп|фгуп|\
    гуп|муп|нко|ано|شركه|ذمم|شمم|شذمم";

/// Forms that are words or surnames as well: taken for forms only in what is said to be a company.
const SHORT_FORMS: &str = "\
    ab|ad|ag|as|asa|co|cv|dd|eg|ek|ev|kg|kk|oy|pc|pt|rt|sa|sc|sci|se|sia|sl|spa|spc|ug|s a";

/// Forms that stand before the name.
const LEADING: &str = "\
    ооо|оао|зао|пао|нао|ао|ип|чп|фоп|тоо|тов|пп|фгуп|гуп|муп|شركه|pt|cv|sarl|sas|eurl|sci";

/// Forms that are written without a space.
const ATTACHED: &str = "\
    股份有限公司|有限责任公司|有限公司|株式会社|有限会社|合同会社|주식회사|유한회사";

/// The forms, split.
struct Lists {
    /// What ends a name.
    ending: Vec<&'static str>,
    /// The same with the short ones.
    ending_company: Vec<&'static str>,
    /// What begins a name.
    leading: Vec<&'static str>,
    /// The same with the short ones.
    leading_company: Vec<&'static str>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let short = |form: &&str| SHORT_FORMS.split('|').any(|short| short == *form);
    Lists {
        ending: FORMS.split('|').collect(),
        ending_company: FORMS.split('|').chain(SHORT_FORMS.split('|')).collect(),
        leading: LEADING.split('|').filter(|form| !short(form)).collect(),
        leading_company: LEADING.split('|').collect(),
    }
});

/// The folded `name` without its legal forms, and whether there were any. In what is said to be a
/// `company` the short ones count too. A name that is nothing but forms stays.
pub(super) fn without(name: &str, company: bool) -> (&str, bool) {
    let mut left = name;
    if !name.is_ascii() {
        for form in ATTACHED.split('|') {
            let shorter = left.strip_suffix(form).or_else(|| left.strip_prefix(form));
            let shorter = shorter.map(str::trim).filter(|name| !name.is_empty());
            left = shorter.unwrap_or(left);
        }
    }
    let (ending, leading) = match company {
        true => (&LISTS.ending_company, &LISTS.leading_company),
        false => (&LISTS.ending, &LISTS.leading),
    };
    while let Some(shorter) = ending.iter().find_map(|form| before(left, form)) {
        left = shorter;
    }
    while let Some(shorter) = leading.iter().find_map(|form| behind(left, form)) {
        left = shorter;
    }
    (left, left.len() < name.len())
}

fn before<'a>(name: &'a str, form: &str) -> Option<&'a str> {
    name.strip_suffix(form)?.strip_suffix(' ')
}

fn behind<'a>(name: &'a str, form: &str) -> Option<&'a str> {
    name.strip_prefix(form)?.strip_prefix(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::letters::folded;

    fn all() -> impl Iterator<Item = &'static str> {
        [FORMS, SHORT_FORMS, LEADING, ATTACHED]
            .into_iter()
            .flat_map(|list| list.split('|'))
    }

    #[test]
    fn forms_are_written_as_they_are_looked_for() {
        for form in all() {
            assert_eq!(folded(form), form);
        }
    }

    #[test]
    fn a_form_is_never_the_whole_name() {
        for form in all() {
            assert!(!without(form, true).0.is_empty(), "{form}");
        }
        assert_eq!(without("ltd ltd", true), ("ltd", true));
    }

    #[test]
    fn short_forms_need_a_company() {
        assert_eq!(without("maria sa", false), ("maria sa", false));
        assert_eq!(without("maria sa", true), ("maria", true));
        assert_eq!(without("pt maju jaya tbk", true), ("maju jaya", true));
        assert_eq!(without("株式会社山田", false), ("山田", true));
    }
}
