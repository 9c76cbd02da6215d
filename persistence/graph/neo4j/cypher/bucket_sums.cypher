// What follows on either: there are no bits to shift here, so halves are quotient and remainder.
WITH m.bucket / $width AS prefix, m.digest AS digest, m.version AS version
WITH prefix, count(*) AS number, sum(digest / 4294967296) AS digest_high, sum(digest % 4294967296) AS digest_low,
  sum(version / 4294967296) AS version_high, sum(version % 4294967296) AS version_low
RETURN collect([prefix, number, digest_high, digest_low, version_high, version_low]) AS rows
