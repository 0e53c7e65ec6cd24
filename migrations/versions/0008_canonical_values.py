"""Values in canonical form, canonical ZIP codes, and words without accents.

Values that were stored before are brought to the form that new ones get. Rows whose external ids
would then be those of others stay as they are and are listed in the log. PostgreSQL rewrites the
table of properties and locks it meanwhile: run this in a maintenance window.
If others use the table for longer than ``WAIT`` it gives up and changes nothing.
"""

import logging

import sqlalchemy as sa
from alembic import op

from migrations.row_level_security import application_role

logger = logging.getLogger(__name__)

revision: str = "0008"
down_revision: str | None = "0007"

WAIT = "5s"
BATCH = 10_000
REINDEX_ABOVE = 5000
SHOWN = 20

OLD_INDEX = "ix_properties_tenant_id_zipcode"
INDEX = "ix_properties_tenant_id_canonical_zipcode"

OLD_BETWEEN = (
    '[] !"#$%&()*+,./:;<=>?@[\\\\^_`{|}~\t\n\r'
    "\u00a0\u00ab\u00b7\u00bb\u2010\u2011\u2012\u2013\u2014\u2018\u201c\u201d\u2026\u2116-]+"
)
TEXT = (
    "external_id || ' ' || coalesce(address, '') || ' ' || coalesce(city, '') || ' ' || "
    "coalesce(state, '') || ' ' || coalesce(zipcode, '')"
)
OLD_WORDS = (
    f"' ' || regexp_replace(replace(replace(lower(({TEXT}) COLLATE pg_c_utf8), '''', ''), "
    f"'\u2019', ''), '{OLD_BETWEEN}', ' ', 'g')"
)

LOST_ZEROS = (
    """(zipcode_cut OR lower(state COLLATE "C") IN ('ae', 'ct', 'ma', 'me', 'nh', 'nj', 'ny', """
    "'pr', 'ri', 'vi', 'vt', 'connecticut', 'maine', 'massachusetts', 'new hampshire', "
    "'new jersey', 'new york', 'puerto rico', 'rhode island', 'vermont', 'virgin islands', "
    "'armed forces europe', 'u.s. virgin islands', 'us virgin islands'))"
)
AND_4 = r"(?: ?-? ?[0-9]{4}| ?-)?(?:\.0*)?$"
ZIP_CODE = f"^([0-9]{{5}}){AND_4}"
SHORT_ZIP_CODE = f"^([0-9]{{3,4}}){AND_4}"
CANONICAL_ZIPCODE = rf"""CASE
    WHEN zipcode ~ '{ZIP_CODE}' THEN left(zipcode, 5)
    WHEN zipcode ~ '{SHORT_ZIP_CODE}' AND {LOST_ZEROS}
        THEN lpad(substring(zipcode FROM '{SHORT_ZIP_CODE}'), 5, '0')
    WHEN zipcode ~ '^[0-9]+\.0*$' THEN split_part(zipcode, '.', 1)
    WHEN zipcode ~ '^[A-Za-z][0-9][A-Za-z][ -]?[0-9][A-Za-z][0-9]$'
        THEN upper((left(zipcode, 3) || ' ' || right(zipcode, 3)) COLLATE "C")
    ELSE upper(zipcode COLLATE "C") END"""
MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
LETTERS = (
    f"translate(regexp_replace(normalize(regexp_replace(translate({TEXT}, '\u2116\u00b4', ' '''), "
    f"'[\u00bc-\u00be\u2150-\u215f\u2189]', ' \\&', 'g'), NFKD), '[{MARKS}]', '', 'g'), "
    "'\u00f8\u00d8\u0111\u0110\u00f0\u00d0\u0142\u0141\u0127\u0126\u0167\u0166\u0131\u03c2"
    "\u02bb\u02bc\u2018\u2044', 'oOdDdDlLhHtTi\u03c3'''''' ')"
)
for one, two in (
    ("\u00df", "ss"), ("\u1e9e", "SS"), ("\u00e6", "ae"), ("\u00c6", "AE"),
    ("\u0153", "oe"), ("\u0152", "OE"), ("\u00fe", "th"), ("\u00de", "TH"),
):  # fmt: skip
    LETTERS = f"replace({LETTERS}, '{one}', '{two}')"
WORDS = (
    "' ' || regexp_replace(replace(replace(lower((CASE WHEN "
    f"octet_length({TEXT}) = length({TEXT}) THEN {TEXT} ELSE {LETTERS} END) COLLATE pg_c_utf8), "
    f"'''', ''), '\u2019', ''), '{OLD_BETWEEN}', ' ', 'g') || ' ' || "
    "coalesce(nullif(lower(canonical_zipcode(zipcode, state, zipcode_cut) COLLATE pg_c_utf8), "
    "lower(zipcode COLLATE pg_c_utf8)), '')"
)

# Functions keep the columns' expressions short: for each row of an update that does not touch them
# PostgreSQL parses them anew.
CREATE_FUNCTIONS = (
    "CREATE FUNCTION canonical_zipcode(zipcode text, state text, zipcode_cut boolean) RETURNS text "
    f"LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {CANONICAL_ZIPCODE}",
    "CREATE FUNCTION property_words(external_id text, address text, city text, state text, "
    "zipcode text, zipcode_cut boolean) RETURNS text "
    f"LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {WORDS}",
)

BLANK = r"[\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
# In PL/pgSQL, which takes a tenth of the time of SQL here, and passes over what is plain.
CANONICAL_TEXT = rf"""
    CREATE OR REPLACE FUNCTION pg_temp.canonical_text(given text) RETURNS text
    STRICT IMMUTABLE LANGUAGE plpgsql AS $$
    DECLARE clean text := given;
    BEGIN
        IF clean ~ '^[0-9A-Za-z]([ -~]*[0-9A-Za-z.])?$' THEN RETURN clean; END IF;
        clean := normalize(regexp_replace(clean, '[\u00ad\u200b\u2060\ufeff]', '', 'g'), NFC);
        clean := regexp_replace(clean, '^{BLANK}+|{BLANK}+$', '', 'g');
        CASE
            WHEN clean ~ '^=".*"$' AND length(clean) > 2 THEN
                clean := replace(substr(clean, 3, length(clean) - 3), '""', '"');
            WHEN clean ~ '^''[0-9]' THEN clean := substr(clean, 2);
            WHEN clean ~ '^"[^"]*"$' THEN clean := substr(clean, 2, length(clean) - 2);
            ELSE RETURN clean;
        END CASE;
        RETURN regexp_replace(clean, '^{BLANK}+|{BLANK}+$', '', 'g');
    END $$
"""
CANONICAL_PHRASE = rf"""
    CREATE OR REPLACE FUNCTION pg_temp.canonical_phrase(given text) RETURNS text
    STRICT IMMUTABLE LANGUAGE plpgsql AS $$
    DECLARE clean text := pg_temp.canonical_text(given);
    BEGIN
        IF length(clean) < 16 AND lower(clean) = ANY(ARRAY[
            '', 'null', '(null)', '<null>', '[null]', '\n', '\\n', 'nan', '-nan', 'n/a', 'n / a',
            '#n/a', '#na', 'none', '(none)', '<none>', 'nil', 'undefined', '(blank)', '#null!',
            '#value!', '#ref!', '#div/0!', '#name?', '#num!', '-', '--', '---', '–', '—', '−', 'na',
            'n.a.', 'n.a', 'unknown', 'unk', 'unspecified', 'missing', 'tbd', 'tba', '.', '?', '??',
            'not available', 'not applicable', 'not provided', 'not disclosed', 'not specified'
        ]) THEN RETURN NULL; END IF;
        IF clean ~ '  |[^ -~]' THEN
            RETURN regexp_replace(clean, '{BLANK}+', ' ', 'g');
        END IF;
        RETURN clean;
    END $$
"""  # noqa: RUF001
CANONICAL_GIVEN_ZIPCODE = """
    CREATE OR REPLACE FUNCTION pg_temp.canonical_given_zipcode(given text) RETURNS text
    STRICT IMMUTABLE LANGUAGE plpgsql AS $$
    DECLARE clean text := pg_temp.canonical_phrase(given);
    BEGIN
        RETURN CASE WHEN clean ~ '^0+$' THEN NULL ELSE clean END;
    END $$
"""
CANONICAL_ID = r"""
    CREATE OR REPLACE FUNCTION pg_temp.canonical_id(given text) RETURNS text
    STRICT IMMUTABLE LANGUAGE plpgsql AS $$
    BEGIN
        RETURN regexp_replace(pg_temp.canonical_text(given), '^(0|[1-9][0-9]*)\.0*$', '\1');
    END $$
"""

CANONICALISING = (CANONICAL_TEXT, CANONICAL_PHRASE, CANONICAL_GIVEN_ZIPCODE, CANONICAL_ID)

IS_SWAPPED = (
    "(latitude NOT BETWEEN -60 AND 84 AND longitude BETWEEN -60 AND 84 AND abs(latitude) <= 180)"
)
IS_NO_PLACE = (
    "((abs(latitude) < 0.01 AND abs(longitude) < 0.01) OR (abs(latitude) = 1 AND"
    " abs(longitude) = 1) OR (latitude > 84 AND longitude IS NOT NULL))"
)
PHRASES = ("address", "city", "state", "source_system", "zipcode")
PROVENANCE = " || ".join(
    f"CASE WHEN canonical.{name} IS NOT NULL AND new_{name} IS NULL THEN ARRAY['{name}'] "
    "ELSE '{}' END"
    for name in ("address", "city", "state", "zipcode", "latitude", "longitude", "year_built")
)
CANONICALISE = f"""
    WITH batch AS (
        SELECT id FROM properties WHERE id > CAST(:after AS uuid) ORDER BY id LIMIT {BATCH}
    ), canonical AS (
        SELECT id, {
    ", ".join(f"{name}, pg_temp.canonical_phrase({name}) AS new_{name}" for name in PHRASES[:-1])
},
            zipcode, pg_temp.canonical_given_zipcode(zipcode) AS new_zipcode,
            latitude, CASE WHEN {IS_SWAPPED} THEN longitude WHEN {IS_NO_PLACE} THEN NULL
                ELSE latitude END AS new_latitude,
            longitude, CASE WHEN {IS_SWAPPED} THEN latitude WHEN {IS_NO_PLACE} THEN NULL
                ELSE longitude END AS new_longitude,
            year_built, nullif(year_built, 0) AS new_year_built
        FROM properties JOIN batch USING (id)
    ), updated AS (
        UPDATE properties SET
            {
    ", ".join(f"{name} = new_{name}" for name in (*PHRASES, "latitude", "longitude", "year_built"))
},
            provenance = properties.provenance - ({PROVENANCE}), updated_at = now()
        FROM canonical WHERE properties.id = canonical.id AND (
            {
    " OR ".join(
        f"canonical.{name} IS DISTINCT FROM new_{name}"
        for name in (*PHRASES, "latitude", "longitude", "year_built")
    )
}
        ) RETURNING properties.id
    ), noted AS (
        INSERT INTO changed_properties SELECT id FROM updated ON CONFLICT DO NOTHING
    )
    SELECT max(id::text) FROM batch
"""

# The others keep their ids: a migration cannot know which of two properties is right.
RENAME = """
    WITH canonical AS (
        SELECT id, external_id, pg_temp.canonical_id(external_id) AS new_id FROM properties
    ), free AS (
        SELECT id, new_id FROM canonical AS one
        WHERE new_id <> external_id AND new_id <> '' AND NOT EXISTS (
            SELECT FROM canonical AS other WHERE other.new_id = one.new_id AND other.id <> one.id
        )
    ), updated AS (
        UPDATE properties SET external_id = new_id, updated_at = now()
        FROM free WHERE properties.id = free.id RETURNING properties.id
    )
    INSERT INTO changed_properties SELECT id FROM updated ON CONFLICT DO NOTHING
"""
COLLIDING = """
    SELECT external_id FROM properties WHERE pg_temp.canonical_id(external_id) <> external_id
    ORDER BY external_id
"""
# One file's ZIP codes cannot be told from another's any more: a tenant's are taken together.
FIND_CUT = f"""
    UPDATE properties SET zipcode_cut = true WHERE zipcode ~ '{SHORT_ZIP_CODE}'
    AND EXISTS (SELECT FROM properties WHERE zipcode ~ '{ZIP_CODE}')
    AND NOT EXISTS (
        SELECT FROM properties WHERE zipcode !~ '{ZIP_CODE}' AND zipcode !~ '{SHORT_ZIP_CODE}'
    )
"""
ALL_TEXT = "concat(external_id, address, city, state, zipcode)"
NOTE_WORDS = f"""
    INSERT INTO changed_properties SELECT id FROM properties
    WHERE zipcode <> canonical_zipcode OR octet_length({ALL_TEXT}) <> length({ALL_TEXT})
    ON CONFLICT DO NOTHING
"""
MARK = f"""
    INSERT INTO index_marks (tenant_id, kind, subject_id)
    WITH mine AS (SELECT id FROM properties JOIN changed_properties USING (id))
    SELECT CAST(:tenant AS uuid), 'everything', CAST(:tenant AS uuid)
    WHERE (SELECT count(*) FROM mine) > {REINDEX_ABOVE}
    UNION ALL
    SELECT CAST(:tenant AS uuid), 'property', id FROM mine
    WHERE (SELECT count(*) FROM mine) <= {REINDEX_ABOVE}
"""
BUY_BOXES = """
    UPDATE users SET buy_box = buy_box || jsonb_strip_nulls(jsonb_build_object(
        'zipcodes', (
            SELECT jsonb_agg(DISTINCT canonical_zipcode(pg_temp.canonical_text(code), NULL, false))
            FROM jsonb_array_elements_text(buy_box -> 'zipcodes') AS code),
        'cities', (SELECT jsonb_agg(DISTINCT pg_temp.canonical_text(city))
            FROM jsonb_array_elements_text(buy_box -> 'cities') AS city)
    )) WHERE buy_box ?| ARRAY['zipcodes', 'cities']
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
    op.execute("LOCK TABLE properties IN ACCESS EXCLUSIVE MODE")
    for function in CANONICALISING:
        connection.exec_driver_sql(function)
    connection.exec_driver_sql("CREATE TEMPORARY TABLE changed_properties (id uuid PRIMARY KEY)")
    tenants = list(connection.execute(sa.text("SELECT id, slug FROM tenants ORDER BY id")))
    for tenant, slug in tenants:
        _enter(connection, tenant)
        after: str | None = "00000000-0000-0000-0000-000000000000"
        while after := connection.scalar(sa.text(CANONICALISE), {"after": after}):
            pass
        connection.exec_driver_sql(RENAME)
        _list(slug, list(connection.scalars(sa.text(COLLIDING))))
    _enter(connection, "")
    op.drop_index(OLD_INDEX, "properties")
    for function in CREATE_FUNCTIONS:
        connection.exec_driver_sql(function)
    # Not every database lets everybody execute what is new.
    op.execute(
        f"GRANT EXECUTE ON FUNCTION canonical_zipcode, property_words TO {application_role()}"
    )
    # One statement, so that the table is written once.
    connection.exec_driver_sql(
        "ALTER TABLE properties ADD COLUMN zipcode_cut boolean NOT NULL DEFAULT false, "
        "ADD COLUMN canonical_zipcode text GENERATED ALWAYS AS "
        "(canonical_zipcode(zipcode, state, zipcode_cut)) STORED, DROP COLUMN search, "
        "ADD COLUMN search text NOT NULL GENERATED ALWAYS AS "
        "(property_words(external_id, address, city, state, zipcode, zipcode_cut)) STORED"
    )
    op.create_index(INDEX, "properties", ["tenant_id", "canonical_zipcode"])
    for tenant, _ in tenants:
        _enter(connection, tenant)
        connection.exec_driver_sql(FIND_CUT)
        connection.exec_driver_sql(NOTE_WORDS)
        connection.exec_driver_sql(BUY_BOXES)
        connection.execute(sa.text(MARK), {"tenant": tenant})
    _enter(connection, "")
    connection.exec_driver_sql("DROP TABLE changed_properties")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
    op.drop_index(INDEX, "properties")
    op.get_bind().exec_driver_sql(
        "ALTER TABLE properties DROP COLUMN search, "
        f"ADD COLUMN search text NOT NULL GENERATED ALWAYS AS ({OLD_WORDS}) STORED, "
        "DROP COLUMN canonical_zipcode, DROP COLUMN zipcode_cut"
    )
    op.execute("DROP FUNCTION property_words")
    op.execute("DROP FUNCTION canonical_zipcode")
    op.create_index(OLD_INDEX, "properties", ["tenant_id", "zipcode"])


def _enter(connection: sa.Connection, tenant: object) -> None:
    """Read and write rows of a tenant: row-level security binds the owner of the tables too."""
    statement = sa.text("SELECT set_config('app.tenant_id', :tenant, true)")
    connection.execute(statement, {"tenant": str(tenant)})


def _list(slug: str, external_ids: list[str]) -> None:
    if external_ids:
        more = len(external_ids) - SHOWN
        logger.warning(
            "tenant %s: %d properties keep their external ids, which are those of others in "
            "another form; merge them by hand: %s%s",
            slug, len(external_ids), ", ".join(map(repr, external_ids[:SHOWN])),
            f" and {more} more" if more > 0 else "",
        )  # fmt: skip
