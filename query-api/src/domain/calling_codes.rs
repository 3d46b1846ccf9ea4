//! Telephone numbering plans: calling code, trunk prefix and how many digits a subscriber's number has
//! (the national significant number of ITU-T E.164), as the countries publish them through the ITU.

/// How a country's telephone numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'static str,
    /// Calling code, without `+`.
    pub code: &'static str,
    /// What is dialled before a number inside the country, several split by `|`; empty where nothing is.
    trunks: &'static str,
    /// Digits of a number without code and trunk prefix, at least and at most.
    digits: (usize, usize),
}

impl Plan {
    /// The trunk prefixes, the usual one first.
    pub fn trunks(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.trunks.split('|').filter(|trunk| !trunk.is_empty())
    }

    /// Whether a number has this many digits, without code and trunk prefix.
    pub fn fits(&self, digits: usize) -> bool {
        (self.digits.0..=self.digits.1).contains(&digits)
    }

    /// The most digits of a number, without code and trunk prefix.
    pub fn most(&self) -> usize {
        self.digits.1
    }

    /// What is dialled before a calling code, where it is not 00.
    pub fn exit_code(&self) -> Option<&'static str> {
        match (self.code, self.country) {
            ("1", _) => Some("011"),
            (_, "AU") => Some("0011"),
            (_, "JP") => Some("010"),
            (_, "BY" | "KZ" | "RU" | "TJ" | "TM") => Some("810"),
            _ => None,
        }
    }
}

/// The plan of a country, by its ISO 3166-1 alpha-2 code in any case.
pub fn of_country(country: &str) -> Option<&'static Plan> {
    let country = country.trim().to_ascii_uppercase();
    let found = PLANS.binary_search_by(|plan| plan.country.cmp(country.as_str()));
    found.ok().map(|index| &PLANS[index])
}

/// The plan that digits after a `+` belong to; of countries that share a code, the first by name.
pub fn of_number(digits: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| digits.starts_with(plan.code))
}

const fn plan(
    country: &'static str,
    code: &'static str,
    trunks: &'static str,
    least: usize,
    most: usize,
) -> Plan {
    let digits = (least, most);
    Plan {
        country,
        code,
        trunks,
        digits,
    }
}

/// By country. Short numbers of services are left out.
static PLANS: [Plan; 174] = [
    plan("AD", "376", "", 6, 9),
    plan("AE", "971", "0", 8, 9),
    plan("AF", "93", "0", 9, 9),
    plan("AL", "355", "0", 8, 9),
    plan("AM", "374", "0", 8, 8),
    plan("AO", "244", "", 9, 9),
    plan("AR", "54", "0", 10, 11),
    plan("AT", "43", "0", 7, 13),
    plan("AU", "61", "0", 9, 9),
    plan("AZ", "994", "0", 9, 9),
    plan("BA", "387", "0", 8, 9),
    plan("BD", "880", "0", 8, 10),
    plan("BE", "32", "0", 8, 9),
    plan("BF", "226", "", 8, 8),
    plan("BG", "359", "0", 7, 9),
    plan("BH", "973", "", 8, 8),
    plan("BI", "257", "", 8, 8),
    plan("BJ", "229", "", 8, 10),
    plan("BN", "673", "", 7, 7),
    plan("BO", "591", "0", 8, 8),
    plan("BR", "55", "0", 10, 11),
    plan("BT", "975", "", 7, 8),
    plan("BW", "267", "", 7, 8),
    plan("BY", "375", "80|0", 9, 9),
    plan("CA", "1", "1", 10, 10),
    plan("CD", "243", "0", 9, 9),
    plan("CF", "236", "", 8, 8),
    plan("CG", "242", "", 9, 9),
    plan("CH", "41", "0", 9, 9),
    plan("CI", "225", "", 10, 10),
    plan("CL", "56", "", 9, 9),
    plan("CM", "237", "", 9, 9),
    plan("CN", "86", "0", 10, 11),
    plan("CO", "57", "", 10, 10),
    plan("CR", "506", "", 8, 8),
    plan("CU", "53", "0", 8, 8),
    plan("CY", "357", "", 8, 8),
    plan("CZ", "420", "", 9, 9),
    plan("DE", "49", "0", 6, 12),
    plan("DJ", "253", "", 8, 8),
    plan("DK", "45", "", 8, 8),
    plan("DO", "1", "1", 10, 10),
    plan("DZ", "213", "0", 8, 9),
    plan("EC", "593", "0", 8, 9),
    plan("EE", "372", "", 7, 8),
    plan("EG", "20", "0", 8, 10),
    plan("ER", "291", "0", 7, 7),
    plan("ES", "34", "", 9, 9),
    plan("ET", "251", "0", 9, 9),
    plan("FI", "358", "0", 6, 12),
    plan("FJ", "679", "", 7, 7),
    plan("FR", "33", "0", 9, 9),
    plan("GA", "241", "", 8, 8),
    plan("GB", "44", "0", 9, 10),
    plan("GE", "995", "0", 9, 9),
    plan("GH", "233", "0", 9, 9),
    plan("GM", "220", "", 7, 7),
    plan("GN", "224", "", 9, 9),
    plan("GQ", "240", "", 9, 9),
    plan("GR", "30", "", 10, 10),
    plan("GT", "502", "", 8, 8),
    plan("GW", "245", "", 9, 9),
    plan("GY", "592", "", 7, 7),
    plan("HK", "852", "", 8, 8),
    plan("HN", "504", "", 8, 8),
    plan("HR", "385", "0", 8, 9),
    plan("HT", "509", "", 8, 8),
    plan("HU", "36", "06", 8, 9),
    plan("ID", "62", "0", 8, 12),
    plan("IE", "353", "0", 7, 9),
    plan("IL", "972", "0", 8, 9),
    plan("IN", "91", "0", 10, 10),
    plan("IQ", "964", "0", 8, 10),
    plan("IR", "98", "0", 10, 10),
    plan("IS", "354", "", 7, 7),
    plan("IT", "39", "", 8, 11),
    plan("JM", "1", "1", 10, 10),
    plan("JO", "962", "0", 8, 9),
    plan("JP", "81", "0", 9, 10),
    plan("KE", "254", "0", 8, 9),
    plan("KG", "996", "0", 9, 9),
    plan("KH", "855", "0", 8, 9),
    plan("KM", "269", "", 7, 7),
    plan("KP", "850", "0", 8, 10),
    plan("KR", "82", "0", 8, 10),
    plan("KW", "965", "", 8, 8),
    plan("KZ", "7", "8", 10, 10),
    plan("LA", "856", "0", 8, 10),
    plan("LB", "961", "0", 7, 8),
    plan("LK", "94", "0", 9, 9),
    plan("LR", "231", "0", 7, 9),
    plan("LS", "266", "", 8, 8),
    plan("LT", "370", "8|0", 8, 8),
    plan("LU", "352", "", 6, 11),
    plan("LV", "371", "", 8, 8),
    plan("LY", "218", "0", 9, 9),
    plan("MA", "212", "0", 9, 9),
    plan("MD", "373", "0", 8, 8),
    plan("ME", "382", "0", 8, 8),
    plan("MG", "261", "0", 9, 9),
    plan("MK", "389", "0", 8, 8),
    plan("ML", "223", "", 8, 8),
    plan("MM", "95", "0", 7, 10),
    plan("MN", "976", "0", 8, 8),
    plan("MO", "853", "", 8, 8),
    plan("MR", "222", "", 8, 8),
    plan("MT", "356", "", 8, 8),
    plan("MU", "230", "", 7, 8),
    plan("MV", "960", "", 7, 7),
    plan("MW", "265", "0", 7, 9),
    plan("MX", "52", "01|044|045", 10, 10),
    plan("MY", "60", "0", 8, 10),
    plan("MZ", "258", "", 8, 9),
    plan("NA", "264", "0", 8, 9),
    plan("NE", "227", "", 8, 8),
    plan("NG", "234", "0", 8, 10),
    plan("NI", "505", "", 8, 8),
    plan("NL", "31", "0", 9, 9),
    plan("NO", "47", "", 8, 8),
    plan("NP", "977", "0", 8, 10),
    plan("NZ", "64", "0", 8, 10),
    plan("OM", "968", "", 8, 8),
    plan("PA", "507", "", 7, 8),
    plan("PE", "51", "0", 8, 9),
    plan("PG", "675", "", 7, 8),
    plan("PH", "63", "0", 8, 10),
    plan("PK", "92", "0", 9, 10),
    plan("PL", "48", "", 9, 9),
    plan("PR", "1", "1", 10, 10),
    plan("PS", "970", "0", 8, 9),
    plan("PT", "351", "", 9, 9),
    plan("PY", "595", "0", 7, 9),
    plan("QA", "974", "", 8, 8),
    plan("RO", "40", "0", 9, 9),
    plan("RS", "381", "0", 8, 9),
    plan("RU", "7", "8", 10, 10),
    plan("RW", "250", "0", 9, 9),
    plan("SA", "966", "0", 9, 9),
    plan("SD", "249", "0", 9, 9),
    plan("SE", "46", "0", 7, 9),
    plan("SG", "65", "", 8, 8),
    plan("SI", "386", "0", 8, 8),
    plan("SK", "421", "0", 9, 9),
    plan("SL", "232", "0", 8, 8),
    plan("SN", "221", "", 9, 9),
    plan("SO", "252", "0", 7, 9),
    plan("SR", "597", "", 6, 7),
    plan("SS", "211", "0", 9, 9),
    plan("SV", "503", "", 8, 8),
    plan("SY", "963", "0", 8, 9),
    plan("SZ", "268", "", 8, 8),
    plan("TD", "235", "", 8, 8),
    plan("TG", "228", "", 8, 8),
    plan("TH", "66", "0", 8, 9),
    plan("TJ", "992", "8", 9, 9),
    plan("TL", "670", "", 7, 8),
    plan("TM", "993", "8", 8, 8),
    plan("TN", "216", "", 8, 8),
    plan("TR", "90", "0", 10, 10),
    plan("TT", "1", "1", 10, 10),
    plan("TW", "886", "0", 8, 9),
    plan("TZ", "255", "0", 9, 9),
    plan("UA", "380", "0", 9, 9),
    plan("UG", "256", "0", 9, 9),
    plan("US", "1", "1", 10, 10),
    plan("UY", "598", "0", 8, 8),
    plan("UZ", "998", "8", 9, 9),
    plan("VE", "58", "0", 10, 10),
    plan("VN", "84", "0", 9, 10),
    plan("XK", "383", "0", 8, 9),
    plan("YE", "967", "0", 7, 9),
    plan("ZA", "27", "0", 9, 9),
    plan("ZM", "260", "0", 9, 9),
    plan("ZW", "263", "0", 8, 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_sorted_and_within_e164() {
        assert!(PLANS.windows(2).all(|w| w[0].country < w[1].country));
        for plan in &PLANS {
            assert_eq!(plan.country.len(), 2);
            assert!((1..=3).contains(&plan.code.len()) && !plan.code.starts_with('0'));
            assert!(plan.digits.0 >= 6 && plan.digits.0 <= plan.digits.1);
            assert!(plan.code.len() + plan.digits.1 <= 15, "{}", plan.country);
        }
    }

    #[test]
    fn no_calling_code_begins_another() {
        for a in &PLANS {
            for b in &PLANS {
                assert!(
                    a.code == b.code || !a.code.starts_with(b.code),
                    "{} {}",
                    a.country,
                    b.country
                );
            }
        }
    }

    #[test]
    fn the_sixty_most_populous_countries_are_there() {
        let most = "IN CN US ID PK NG BR BD RU ET MX JP EG PH CD VN IR TR DE TH TZ GB FR ZA IT KE MM \
                    CO KR SD UG ES DZ IQ AR AF YE CA PL MA AO UZ UA MY MZ GH PE SA MG CI CM NP VE \
                    NE AU KP SY ML BF LK TW";
        assert_eq!(most.split_whitespace().count(), 61);
        for country in most.split_whitespace() {
            assert!(of_country(country).is_some(), "{country}");
        }
        assert_eq!(of_country("fr"), of_country("FR"));
        assert_eq!(of_country("ZZ"), None);
        assert_eq!(of_country(""), None);
    }

    #[test]
    fn a_number_names_its_plan() {
        assert_eq!(
            of_number("442079460958").map(|plan| plan.country),
            Some("GB")
        );
        assert_eq!(
            of_number("21612345678").map(|plan| plan.country),
            Some("TN")
        );
        assert_eq!(of_number("999"), None);
    }
}
