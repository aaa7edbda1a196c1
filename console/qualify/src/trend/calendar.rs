//! Marks of a time axis: minutes, hours, days and months as people count them, UTC.
//!
//! Knows: the calendar. Does not know: what is drawn.

/// As many marks have room on a drawing, with their words.
const MOST: i64 = 5;
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
/// Steps below a month, minutes.
const STEPS: [i64; 16] = [
    1,
    2,
    5,
    10,
    15,
    30,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
];
/// Steps from there on, months.
const MONTHS: [i64; 8] = [1, 2, 3, 6, 12, 24, 60, 120];

/// Where marks lie between two times, minutes from 1970, and their words: a time of day, at
/// midnight and by days the day, by months the month.
pub(super) fn marks(from: i64, to: i64) -> Vec<(i64, String)> {
    let span = to.saturating_sub(from).max(1);
    match STEPS.into_iter().find(|step| span / step < MOST) {
        Some(step) => by_minutes(from, to, step),
        None => by_months(from, to),
    }
}

fn by_minutes(from: i64, to: i64, step: i64) -> Vec<(i64, String)> {
    let mut marks = Vec::new();
    let mut at = from.div_euclid(step).saturating_mul(step);
    while at <= to {
        if at >= from {
            let of_day = at.rem_euclid(DAY);
            let (_, month, day) = date(at.div_euclid(DAY));
            let word = if of_day == 0 {
                format!("{month:02}-{day:02}")
            } else {
                format!("{:02}:{:02}", of_day / HOUR, of_day % HOUR)
            };
            marks.push((at, word));
        }
        at = at.saturating_add(step);
    }
    marks
}

fn by_months(from: i64, to: i64) -> Vec<(i64, String)> {
    let (first, last) = (from.div_euclid(DAY), to.div_euclid(DAY));
    let month_of = |day| {
        let (year, month, _) = date(day);
        year * 12 + month - 1
    };
    let span = month_of(last) - month_of(first);
    let step = MONTHS.into_iter().find(|step| span / step < MOST).unwrap_or(120);
    let begins = |day: &i64| date(*day).2 == 1 && month_of(*day).rem_euclid(step) == 0;
    let mark = |day: i64| {
        let (year, month, _) = date(day);
        let word = if step < 12 { format!("{year}-{month:02}") } else { year.to_string() };
        (day * DAY, word)
    };
    (first..=last).filter(begins).map(mark).filter(|(at, _)| *at >= from).collect()
}

/// Year, month and day of a day, counted from 1970-01-01. Source: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", civil_from_days; 719468: from 0000-03-01.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months from March on.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2031-04-09 12:00.
    const NOON: i64 = (22_378 * 24 + 12) * HOUR;

    fn words(from: i64, minutes: i64) -> Vec<String> {
        marks(from, from + minutes).into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn each_length_has_marks_that_people_read() {
        assert_eq!(words(NOON, 4), ["12:00", "12:01", "12:02", "12:03", "12:04"]);
        assert_eq!(words(NOON + 7, 40), ["12:10", "12:20", "12:30", "12:40"]);
        assert_eq!(words(NOON, 5 * HOUR), ["12:00", "14:00", "16:00"]);
        // Through midnight the day says itself.
        assert_eq!(words(NOON, 24 * HOUR), ["12:00", "18:00", "04-10", "06:00", "12:00"]);
        assert_eq!(words(NOON, 4 * DAY), ["04-10", "04-11", "04-12", "04-13"]);
        assert_eq!(words(NOON, 20 * DAY), ["04-10", "04-17", "04-24"]);
        assert_eq!(words(NOON, 150 * DAY), ["2031-05", "2031-07", "2031-09"]);
        assert_eq!(words(NOON, 1_500 * DAY), ["2032", "2033", "2034", "2035"]);
    }

    #[test]
    fn every_length_has_some_marks_and_not_too_many() {
        for power in 2..220 {
            let minutes = count_up(power);
            let found = marks(NOON + 7, NOON + 7 + minutes);
            assert!((1..=6).contains(&found.len()), "{minutes}: {found:?}");
            assert!(found.is_sorted() && found.iter().all(|(at, _)| *at >= NOON + 7), "{found:?}");
        }
    }

    /// From two minutes to years.
    fn count_up(power: i32) -> i64 {
        crate::number::whole(2.0 * 1.07_f64.powi(power - 2))
    }

    #[test]
    fn a_day_has_its_date() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(22_378), (2031, 4, 9));
        assert_eq!(date(-1), (1969, 12, 31));
    }
}
