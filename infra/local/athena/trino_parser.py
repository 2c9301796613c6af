"""The statements that Athena hands to Trino: SELECT, CTAS, INSERT, UNLOAD, views, EXPLAIN."""

from __future__ import annotations

from infra.local.athena.dialect import trino_words
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.reader import Reader
from infra.local.athena.statements import (
    CreateTableAs,
    CreateView,
    Deallocate,
    DropView,
    Execute,
    Explain,
    Insert,
    Prepare,
    Properties,
    Select,
    Show,
    Statement,
    Unload,
)


def parse(sql: str) -> Statement:
    """Raises SYNTAX_ERROR, or NOT_SUPPORTED by name."""
    reader = Reader(sql, trino_words(sql))
    word = reader.token.text.upper() if reader.token else ""
    if word in {"SELECT", "WITH", "(", "VALUES"}:
        return Select("DML", "SELECT", _rest(reader))
    for words, build in _STATEMENTS:
        if reader.take(*words):
            return build(reader)
    if word in _ICEBERG:
        raise unsupported(f"{word}: it changes Iceberg tables, and the local Athena has none")
    if word in _NOT_YET:
        raise unsupported("USING EXTERNAL FUNCTION" if word == "USING" else word)
    raise QueryFailed("SYNTAX_ERROR", f"{reader.where()}mismatched input '{word}'")


_ICEBERG = {"MERGE", "UPDATE", "DELETE", "OPTIMIZE", "VACUUM"}
_NOT_YET = {"TABLE", "ANALYZE", "USE", "USING", "SET", "CALL", "GRANT"}


def _rest(reader: Reader) -> str:
    """What is left, as a query whose positions are those of the statement."""
    token = reader.token
    if token is None:
        raise reader.mismatch("expecting a query")
    return reader.blanked(token.start, reader.tokens[-1].end + 1)


def _explain(reader: Reader) -> Statement:
    if reader.take("ANALYZE"):
        raise unsupported(
            "EXPLAIN ANALYZE; run the statement, and GetQueryRuntimeStatistics tells its cost"
        )
    options = _explain_options(reader) if reader.take("(") else {}
    form = options.get("FORMAT", "TEXT")
    return Explain("UTILITY", "EXPLAIN", _rest(reader), form, options.get("TYPE", "LOGICAL"))


def _explain_options(reader: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    while True:
        name = reader.identifier().upper()
        found[name] = reader.identifier().upper()
        if not reader.take(","):
            reader.expect(")")
            break
    if unknown := set(found) - {"FORMAT", "TYPE"}:
        raise QueryFailed("SYNTAX_ERROR", f"EXPLAIN has no option {', '.join(sorted(unknown))}")
    return found


def _insert(reader: Reader) -> Statement:
    name = reader.name()
    columns: tuple[str, ...] = ()
    if reader.peek("(") and not _opens_query(reader):
        columns = tuple(_identifiers(reader))
    return Insert("DML", "INSERT", name, columns, _rest(reader))


def _opens_query(reader: Reader) -> bool:
    following = reader.tokens[reader.index + 1 : reader.index + 2]
    return bool(following) and following[0].text.upper() in {"SELECT", "WITH", "(", "VALUES"}


def _identifiers(reader: Reader) -> list[str]:
    reader.expect("(")
    found = [reader.identifier()]
    while reader.take(","):
        found.append(reader.identifier())
    reader.expect(")")
    return found


def _unload(reader: Reader) -> Statement:
    if not reader.peek("("):
        raise reader.mismatch("expecting '('")
    start = reader.next()
    end = _closing(reader)
    query = reader.blanked(start.end + 1, end)
    reader.expect("TO")
    target = reader.string()
    properties = _properties(reader) if reader.take("WITH") else {}
    reader.end()
    return Unload("DML", "UNLOAD", query, target, properties)


def _closing(reader: Reader) -> int:
    """Step over everything up to the parenthesis that closes the open one."""
    depth = 1
    while depth:
        token = reader.next()
        depth += {"(": 1, ")": -1}.get(token.text, 0)
    return token.start


def _create(reader: Reader) -> Statement:
    or_replace = reader.take("OR", "REPLACE")
    if reader.take("VIEW"):
        name = reader.name()
        reader.expect("AS")
        query = _rest(reader)
        return CreateView("DDL", "CREATE_VIEW", name, query, query.strip(), or_replace)
    if or_replace or not reader.take("TABLE"):
        raise unsupported(f"CREATE {reader.token.text.upper() if reader.token else ''}")
    if_not_exists = reader.take("IF", "NOT", "EXISTS")
    name = reader.name()
    properties = _properties(reader) if reader.take("WITH") else {}
    reader.expect("AS")
    with_data = _with_data(reader)
    query = _rest(reader)
    return CreateTableAs(
        "DDL", "CREATE_TABLE_AS_SELECT", name, query, properties, if_not_exists, with_data
    )


def _with_data(reader: Reader) -> bool:
    """WITH DATA or WITH NO DATA at the end of a CTAS; cut off here."""
    words = [token.text.upper() for token in reader.tokens[-3:]]
    if words[-3:] == ["WITH", "NO", "DATA"]:
        del reader.tokens[-3:]
        return False
    if words[-2:] == ["WITH", "DATA"]:
        del reader.tokens[-2:]
    return True


def _properties(reader: Reader) -> Properties:
    reader.expect("(")
    found: dict[str, str | tuple[str, ...]] = {}
    while True:
        name = reader.identifier()
        reader.expect("=")
        found[name] = _value(reader)
        if not reader.take(","):
            reader.expect(")")
            return found


def _value(reader: Reader) -> str | tuple[str, ...]:
    if not reader.take("ARRAY"):
        return reader.next().text
    reader.expect("[")
    items = [reader.string()]
    while reader.take(","):
        items.append(reader.string())
    reader.expect("]")
    return tuple(items)


def _drop_view(reader: Reader) -> Statement:
    if_exists = reader.take("IF", "EXISTS")
    name = reader.name()
    reader.end()
    return DropView("DDL", "DROP_VIEW", name, if_exists)


def _show_create_view(reader: Reader) -> Statement:
    return Show("UTILITY", "SHOW_CREATE_VIEW", "CREATE VIEW", reader.name())


def _prepare(reader: Reader) -> Statement:
    name = reader.word()
    reader.expect("FROM")
    return Prepare("DDL", "PREPARE", name, _rest(reader).strip())


def _execute(reader: Reader) -> Statement:
    name = reader.word()
    parameters: list[str] = []
    if reader.take("USING"):
        parameters = [reader.expression()]
        while reader.take(","):
            parameters.append(reader.expression())
    reader.end()
    return Execute("DML", "EXECUTE", name, tuple(parameters))


def _deallocate(reader: Reader) -> Statement:
    name = reader.word()
    reader.end()
    return Deallocate("DDL", "DEALLOCATE", name)


_STATEMENTS = [
    (("PREPARE",), _prepare),
    (("EXECUTE",), _execute),
    (("DEALLOCATE", "PREPARE"), _deallocate),
    (("EXPLAIN",), _explain),
    (("INSERT", "INTO"), _insert),
    (("UNLOAD",), _unload),
    (("CREATE",), _create),
    (("DROP", "VIEW"), _drop_view),
    (("SHOW", "CREATE", "VIEW"), _show_create_view),
]
