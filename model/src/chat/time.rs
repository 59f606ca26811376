//! `strftime_now`: the date in a system prompt.
//!
//! The conversion of a day count to a date follows H. Hinnant ("chrono-compatible low-level date algorithms", 2013):
//! years start in March, so that the leap day is the last day, in eras of 400 years.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1970-01-01 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const SECONDS_PER_DAY: i64 = 86_400;

/// Formats the time, given in seconds since 1970, in Python's `strftime` format (English names, as in the C locale). An
/// unknown directive is an error.
pub(super) fn strftime(format: &str, seconds: i64) -> Result<String, Error> {
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = date(days);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let hour_of_12 = (hour + 11) % 12 + 1;
    let half = if hour < 12 { "AM" } else { "PM" };

    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = characters.next();
        let unpadded = directive == Some('-');
        if unpadded {
            directive = characters.next();
        }
        let two = |n: i64| if unpadded { n.to_string() } else { format!("{n:02}") };
        out.push_str(&match directive {
            Some('Y') => year.to_string(),
            Some('y') => two(year.rem_euclid(100)),
            Some('m') => two(month),
            Some('d') => two(day),
            Some('e') if unpadded => day.to_string(),
            Some('e') => format!("{day:2}"),
            Some('H') => two(hour),
            Some('I') => two(hour_of_12),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('p') => half.to_owned(),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('j') if unpadded => day_of_year(days, year).to_string(),
            Some('j') => format!("{:03}", day_of_year(days, year)),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('D') => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
            Some('R') => format!("{hour:02}:{minute:02}"),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('%') => "%".to_owned(),
            unknown => {
                let name = unknown.map_or("the end of the format".to_owned(), |c| format!("%{c}"));
                let message = format!(
                    "strftime_now: expected one of %Y %y %m %d %e %H %I %M %S %p %B %b %h %A %a %j %F %T %D %R %n %t %%, \
                     found {name}"
                );
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(out)
}

/// Year, month and day of the Gregorian calendar, for a count of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    // Days since 0000-03-01.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 30.6 days on average; this division follows their pattern exactly.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The day of the year, counted from 1.
fn day_of_year(days: i64, year: i64) -> i64 {
    (0..366).find(|&back| date(days - back - 1).0 != year).map_or(366, |back| back + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let at = |seconds, format| strftime(format, seconds).unwrap();
        assert_eq!(at(0, "%A %d %B %Y %H:%M:%S"), "Thursday 01 January 1970 00:00:00");
        assert_eq!(at(951_782_399, "%d %b %Y, %I:%M %p"), "28 Feb 2000, 11:59 PM");
        assert_eq!(at(951_782_400, "%F %a %j"), "2000-02-29 Tue 060");
        assert_eq!(at(951_868_800, "%-d/%-m/%y"), "1/3/00");
        assert_eq!(at(1_735_689_599, "%F %T %j"), "2024-12-31 23:59:59 366");
        assert_eq!(at(-1, "%F %R"), "1969-12-31 23:59");
        assert!(strftime("%Q", 0).is_err() && strftime("%", 0).is_err());
    }

    #[test]
    fn a_day_follows_the_day_before() {
        let mut previous = date(-200_000);
        for days in -199_999..400_000 {
            let (year, month, day) = date(days);
            let next_day = (year, month, day - 1) == previous;
            let next_month = day == 1 && previous.2 >= 28 && (year, month - 1) == (previous.0, previous.1);
            let next_year = (month, day) == (1, 1) && previous == (year - 1, 12, 31);
            assert!(next_day || next_month || next_year, "{previous:?} and {:?}", (year, month, day));
            previous = (year, month, day);
        }
    }
}
