"""The executor of a compiled operation.

It is graphql-core's, with three short cuts, each of which leaves to graphql-core whatever it does
not know: values that are plain are completed by compiled functions; fields that only read an
attribute or call a method do so without graphql-core's and Strawberry's layers in between; and
what depends on the operation alone (which fields are selected, what they do) is found once.
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, GroupedFieldSet
from graphql.execution.values import get_argument_values
from graphql.pyutils import AwaitableOrValue, Path, gather_with_cancel
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.execution.compiler import MAX_FIELDS, Compiler, Complete, Run
from graph.execution.shapes import Method, attribute_of, method_of

_NONE: dict[str, Any] = {}
_IMMUTABLE = (str, int, float, bool, type(None), Enum, UUID, date, datetime)


@dataclass(frozen=True, slots=True)
class CompiledField:
    """What a field of an operation does.

    Attributes:
        parent: the type that has it.
        definition: the schema's.
        type: the field's.
        nodes: where the operation asks for it.
        attribute: that it reads; None if it does anything else.
        method: that it calls; None if it does anything else.
        complete: completes its values, or raises; None if they are not plain.
    """

    parent: GraphQLObjectType
    definition: GraphQLField
    type: GraphQLOutputType
    nodes: list[FieldNode]
    attribute: str | None
    method: Method | None
    complete: Complete | None


@dataclass(slots=True)
class Variant:
    """What is known of an operation, given which of its fields @skip and @include leave.

    Lists of field details are known by their identity; ``sub_fields`` and ``root`` keep them.
    """

    root: GroupedFieldSet | None = None
    sub_fields: dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]] = (
        field(default_factory=dict)
    )
    fields: dict[int, CompiledField] = field(default_factory=dict)
    runs: dict[int, list[Run]] = field(default_factory=dict)
    size: int = 0
    """How many fields were compiled."""


class CompiledExecutor(Executor[None]):
    """Executes an operation once, with what its variant knows."""

    variant: Variant
    operation_extensions: dict[str, Any] | None = None

    # Of another class of executors, but it only needs what all of them have.
    build_resolve_info: Any = StrawberryGraphQLCoreExecutionContext.build_resolve_info

    def use(self, variant: Variant) -> "CompiledExecutor":
        """Execute with what is known of the operation, and learn what is not yet."""
        self.variant = variant
        self._relevant_sub_fields = variant.sub_fields
        self._arguments: dict[int, dict[str, Any] | None] = {}
        return self

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: GroupedFieldSet,
        serially: bool,
        new_defer_usages: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Execute the variant's root fields, which equal those just collected."""
        if self.variant.root is None:
            self.variant.root = grouped_field_set
        return super().execute_collected_root_fields(
            root_type, root_value, self.variant.root, serially, new_defer_usages
        )

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: None,  # noqa: ARG002
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Execute fields in order, plain ones all at once."""
        runs = self.variant.runs.get(id(grouped_field_set))
        if runs is None:
            with self._compiler() as compiler:
                runs = compiler.runs(parent_type, grouped_field_set)
            self.variant.runs[id(grouped_field_set)] = runs
        results: dict[str, Any] = {}
        awaitable_fields: list[str] = []
        try:
            for read, fields in runs:
                if read is not None:
                    try:
                        read(source_value, results)
                        continue
                    except Exception:  # noqa: S110 - the executor finds out what it is
                        pass
                for key, details in fields:
                    field_path = Path(path, key, parent_type.name)
                    result = self.execute_field(
                        parent_type, source_value, details, field_path, None
                    )
                    if result is not Undefined:
                        results[key] = result
                        if self.is_awaitable(result):
                            awaitable_fields.append(key)
        except Exception:
            if awaitable_fields:
                self.settle_in_background([results[key] for key in awaitable_fields])
            raise
        if not awaitable_fields:
            return results
        return self._await_fields(results, awaitable_fields)

    async def _await_fields(self, results: dict[str, Any], waiting: list[str]) -> dict[str, Any]:
        if len(waiting) == 1:
            results[waiting[0]] = await results[waiting[0]]
        else:
            done = await gather_with_cancel(*(results[key] for key in waiting))
            results.update(zip(waiting, done, strict=True))
        return results

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: None,  # noqa: ARG002
    ) -> AwaitableOrValue[Any]:
        """Execute a field, by a short cut if it has one."""
        known = self._field(parent_type, field_details_list)
        arguments = self._arguments_of(known, field_details_list)
        if arguments is None:
            return super().execute_field(parent_type, source, field_details_list, path, None)
        try:
            if known.attribute is not None:
                value = getattr(source, known.attribute)
            else:
                value = self._call(known, source, path, arguments)
            if known.complete is not None:
                try:
                    return known.complete(value)
                except Exception:  # noqa: S110 - the executor finds out what it is
                    pass
            return self._complete(known, value, field_details_list, path)
        except Exception as error:
            self.handle_field_error(error, known.type, field_details_list, path)
            return None

    def _complete(
        self, known: CompiledField, value: Any, details: FieldDetailsList, path: Path
    ) -> AwaitableOrValue[Any]:
        """What graphql-core does with the value of a field."""
        info = self._info(known, path)
        if self.is_awaitable(value):
            return self.complete_awaitable_value(known.type, details, info, path, value, None)
        completed = super().complete_value(known.type, details, info, path, value, None)
        if self.is_awaitable(completed):
            return self._await_completed(completed, known, details, path)
        return completed

    async def _await_completed(
        self,
        completed: Awaitable[Any],
        known: CompiledField,
        details: FieldDetailsList,
        path: Path,
    ) -> Any:
        try:
            return await completed
        except Exception as error:
            self.handle_field_error(error, known.type, details, path)
            return None

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: None,  # noqa: ARG002
    ) -> AwaitableOrValue[Any]:
        """Complete the value that a resolver returned, at once if it is plain."""
        known = self.variant.fields.get(id(field_details_list))
        if known is not None and known.complete is not None and known.type is return_type:
            try:
                return known.complete(result)
            except Exception:  # noqa: S110 - the executor finds out what it is
                pass
        return super().complete_value(return_type, field_details_list, info, path, result, None)

    def _info(self, known: CompiledField, path: Path) -> GraphQLResolveInfo[Any]:
        info: GraphQLResolveInfo[Any] = self.build_resolve_info(
            known.definition, [*known.nodes], known.parent, path
        )
        return info

    def _call(
        self, known: CompiledField, source: Any, path: Path, arguments: dict[str, Any]
    ) -> Any:
        method = known.method
        assert method is not None
        if method.info_name is not None:
            arguments = {**arguments, method.info_name: method.make_info(self._info(known, path))}
        if method.source_names:
            arguments = {**arguments, **dict.fromkeys(method.source_names, source)}
        return method.call(source, **arguments) if method.takes_self else method.call(**arguments)

    def _arguments_of(
        self, known: CompiledField, details: FieldDetailsList
    ) -> dict[str, Any] | None:
        """The keywords of the field's method, the same for every object; None without short cut.

        Keywords that a resolver could change are not shared: such a field has no short cut.
        """
        if known.method is None:
            return _NONE if known.attribute is not None else None
        if not known.definition.args:
            return _NONE
        place = id(details)
        if place not in self._arguments:
            self._arguments[place] = self._coerce(known, known.method)
        return self._arguments[place]

    def _coerce(self, known: CompiledField, method: Method) -> dict[str, Any] | None:
        try:
            coerced = get_argument_values(
                known.definition, known.nodes[0], self.variable_values, None, self.hide_suggestions
            )
            if not all(isinstance(value, _IMMUTABLE) for value in coerced.values()):
                return None
            return method.convert(coerced)
        except Exception:
            # graphql-core's own way runs into the same, and reports it.
            return None

    def _field(self, parent: GraphQLObjectType, details: FieldDetailsList) -> CompiledField:
        known = self.variant.fields.get(id(details))
        if known is None:
            known = self._learn(parent, details)
            self.variant.fields[id(details)] = known
        return known

    def _learn(self, parent: GraphQLObjectType, details: FieldDetailsList) -> CompiledField:
        nodes = [one.node for one in details]
        definition = self.schema.get_field(parent, nodes[0].name.value)
        assert definition is not None
        with self._compiler() as compiler:
            complete = compiler.completion(definition.type, details)
        return CompiledField(
            parent,
            definition,
            definition.type,
            nodes,
            attribute_of(definition),
            method_of(definition),
            complete,
        )

    @contextmanager
    def _compiler(self) -> Iterator[Compiler]:
        compiler = Compiler(
            self.schema,
            lambda kind, details: self.collect_subfields(kind, details)[0],
            MAX_FIELDS - self.variant.size,
        )
        yield compiler
        self.variant.size += compiler.size
