package backuprequest

import (
	"fmt"
	"time"
)

// Date is a day of the calendar, without a time and without a time zone. Its
// text and its JSON are YYYY-MM-DD. Dates are compared with ==. The zero Date
// is no day: it has no text form.
type Date struct {
	year  int
	month time.Month
	day   int
}

// NewDate is that day, or an InvalidError when the calendar does not have it.
// Years go from 1 to 9999, which is what four digits can say.
func NewDate(year int, month time.Month, day int) (Date, error) {
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if year < 1 || year > 9999 || t.Month() != month || t.Day() != day || t.Year() != year {
		return Date{}, invalidDate(fmt.Sprintf("%d-%d-%d", year, month, day))
	}
	return Date{year, month, day}, nil
}

// ParseDate reads YYYY-MM-DD. Anything else is an InvalidError: other forms,
// blanks, and days that do not exist, such as 2026-02-30.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return Date{}, invalidDate(s)
	}
	return DateOf(t), nil
}

// invalidDate quotes no more than a date's worth of what was given, since that
// may be long.
func invalidDate(s string) *InvalidError {
	if s == "" {
		return &InvalidError{Field: "date", Problem: "is empty: give it as YYYY-MM-DD"}
	}
	return &InvalidError{Field: "date", Problem: fmt.Sprintf("%.20q is not a day of the calendar: give it as YYYY-MM-DD", s)}
}

// DateOf is the day of t in t's own time zone, and the zero Date outside the
// years 1 to 9999.
func DateOf(t time.Time) Date {
	d, err := NewDate(t.Date())
	if err != nil {
		return Date{}
	}
	return d
}

// IsZero reports whether d is no day.
func (d Date) IsZero() bool { return d == Date{} }

// Time is the start of the day in UTC, and the zero time for the zero Date.
func (d Date) Time() time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC)
}

// String is YYYY-MM-DD, and empty for the zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day)
}

// MarshalText is String, and an InvalidError for the zero Date.
func (d Date) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, invalidDate("")
	}
	return []byte(d.String()), nil
}

// UnmarshalText is ParseDate. It leaves d as it is when it fails.
func (d *Date) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
