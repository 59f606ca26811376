//! `strftime_now`: the date in a system prompt.
//!
//! The conversion of a day count to a date follows H. Hinnant ("chrono-compatible low-level date algorithms", 2013):
//! years start in March, so that the leap day is the last day, in eras of 400 years.

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
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SECONDS_PER_DAY: i64 = 86_400;

/// Formats the time, given in seconds since 1970, as Python's `strftime` does with glibc in the C locale. As for
/// `datetime.now()`, there is no time zone, so `%z` and `%Z` are empty; `%f` is zero. An unknown directive is an error.
pub(crate) fn strftime(format: &str, seconds: i64) -> Result<String, String> {
    let now = Moment::new(seconds);
    let mut out = String::new();
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut pad = Pad::default();
        while let Some(flag) = characters.next_if(|c| "-_0^#".contains(*c)) {
            match flag {
                '^' => pad.upper = true,
                '#' => pad.swapped = true,
                _ => pad.flag = Some(flag),
            }
        }
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            pad.width = (pad.width * 10 + digit as usize - '0' as usize).min(1000);
        }
        let directive = characters.next();
        match directive.and_then(|directive| now.directive(directive, &pad)) {
            Some(text) => out.push_str(&text),
            None => {
                let name = directive.map_or("the end of the format".to_owned(), |c| format!("%{c}"));
                return Err(format!("strftime_now: unknown directive {name}"));
            }
        }
    }
    Ok(out)
}

/// How a directive's value is padded: flag, width, and the flags `^` and `#` for the case.
#[derive(Default)]
struct Pad {
    flag: Option<char>,
    width: usize,
    upper: bool,
    swapped: bool,
}

impl Pad {
    fn number(&self, value: i64, width: usize, fill: char) -> String {
        let fill = match self.flag {
            Some('-') => return value.to_string(),
            Some('_') => ' ',
            Some(_) => '0',
            None => fill,
        };
        let width = width.max(self.width);
        if fill == '0' { format!("{value:0width$}") } else { format!("{value:width$}") }
    }

    fn text(&self, text: &str) -> String {
        let text = if self.upper { text.to_uppercase() } else { text.to_owned() };
        let width = if self.flag == Some('-') { 0 } else { self.width };
        let fill = if self.flag == Some('0') { "0" } else { " " };
        fill.repeat(width.saturating_sub(text.chars().count())) + &text
    }
}

/// A moment as the fields of a calendar and a clock.
struct Moment {
    seconds: i64,
    year: i64,
    month: i64,
    day: i64,
    /// Counted from 1.
    day_of_year: i64,
    /// Sunday is 0.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    fn new(seconds: i64) -> Moment {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = date(days);
        Moment {
            seconds,
            year,
            month,
            day,
            day_of_year: day_of_year(days, year),
            weekday: (days + 4).rem_euclid(7),
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    fn directive(&self, directive: char, pad: &Pad) -> Option<String> {
        let two = |value| pad.number(value, 2, '0');
        let spaced = |value| pad.number(value, 2, ' ');
        let hour_of_12 = (self.hour + 11) % 12 + 1;
        let month = MONTHS[(self.month - 1) as usize];
        let weekday = WEEKDAYS[self.weekday as usize];
        let name = |name: &str| if pad.swapped { pad.text(&name.to_uppercase()) } else { pad.text(name) };
        let half = if self.hour < 12 { "AM" } else { "PM" };
        let composite = |format: &str| strftime(format, self.seconds).ok().map(|text| pad.text(&text));
        let (iso_year, iso_week) = self.iso_week();
        Some(match directive {
            'Y' => pad.number(self.year, 1, '0'),
            'C' => two(self.year.div_euclid(100)),
            'y' => two(self.year.rem_euclid(100)),
            'G' => pad.number(iso_year, 1, '0'),
            'g' => two(iso_year.rem_euclid(100)),
            'V' => two(iso_week),
            'm' => two(self.month),
            'd' => two(self.day),
            'e' => spaced(self.day),
            'H' => two(self.hour),
            'I' => two(hour_of_12),
            'k' => spaced(self.hour),
            'l' => spaced(hour_of_12),
            'M' => two(self.minute),
            'S' => two(self.second),
            'j' => pad.number(self.day_of_year, 3, '0'),
            'U' => two((self.day_of_year + 6 - self.weekday) / 7),
            'W' => two((self.day_of_year + 6 - (self.weekday + 6) % 7) / 7),
            'w' => pad.number(self.weekday, 1, '0'),
            'u' => pad.number((self.weekday + 6) % 7 + 1, 1, '0'),
            's' => pad.number(self.seconds, 1, '0'),
            'f' => "000000".to_owned(),
            'p' if pad.swapped => pad.text(&half.to_lowercase()),
            'p' => pad.text(half),
            'P' => pad.text(&half.to_lowercase()),
            'B' => name(month),
            'b' | 'h' => name(&month[..3]),
            'A' => name(weekday),
            'a' => name(&weekday[..3]),
            'c' => return composite("%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => return composite("%m/%d/%y"),
            'F' => return composite("%Y-%m-%d"),
            'R' => return composite("%H:%M"),
            'r' => return composite("%I:%M:%S %p"),
            'T' | 'X' => return composite("%H:%M:%S"),
            'z' | 'Z' => String::new(),
            'n' => pad.text("\n"),
            't' => pad.text("\t"),
            '%' => pad.text("%"),
            _ => return None,
        })
    }

    /// The year and week of ISO 8601: weeks begin on Monday, and the first has the year's first Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let days = self.seconds.div_euclid(SECONDS_PER_DAY);
        let thursday = days - (self.weekday + 6) % 7 + 3;
        let (year, ..) = date(thursday);
        (year, (day_of_year(thursday, year) - 1) / 7 + 1)
    }
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
