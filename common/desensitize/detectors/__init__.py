"""What finds identifiers: one RE2 pass, name rules and taggers, known values."""
