/* Secrets that PostgreSQL 15 made (pg_authid.rolpassword), for password "pencil" where not told
 * otherwise. */
#pragma once

/* role ann */
#define PG_SCRAM                                                                                   \
    "SCRAM-SHA-256$4096:PWBstVQPpgsbx/toDBBchA==$XVVCsOYC8ZqFZ8DSezJBcHJiMRVWTvGPWAx2tQHRKaE=:"    \
    "w/pZJbr512WEMBUwhXrtiMRMMj7Vcf3RIBEMxU8GOTk="
/* role umlaut, password "pässwört" in composed UTF-8 */
#define PG_SCRAM_UMLAUT                                                                            \
    "SCRAM-SHA-256$4096:PqApRTSGDovYZsJ67Wg/jA==$4JlN9kzwRoueH7/tv98s7gW7GAitkQbeFTbxqqSgIcA=:"    \
    "9UsqLWDHbyR6VNfKIzcjIGmNL7N0IEEMRNWe5HVIxjM="
/* role mo */
#define PG_MD5 "md52127b9beadeed19cc4442f108b69b060"
