"""The executor of a compiled operation.

It is graphql-core's, with short cuts, each of which leaves to graphql-core whatever it does not
know: plain values are completed by compiled functions; fields that only read an attribute or call
a method do so without graphql-core's and Strawberry's layers in between; objects of a known class
go straight to their fields; and what depends on the operation alone is found out once.
"""

from collections.abc import Awaitable
from datetime import date, datetime
from enum import Enum
from functools import partial
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
)
from graphql.execution import Executor, get_argument_values

from graph.core import strawberry_internals
from graph.core.strawberry_internals import Method
from graph.execution.fields import KnownField, Learner, Objects, Variant
from graph.execution.graphql_internals import (
    AwaitableOrValue,
    FieldDetailsList,
    GroupedFieldSet,
    Path,
    collect_iterator_awaitables,
    gather_with_cancel,
)

_COMPLETE = frozenset({dict, list, str, int, float, bool, type(None)})
"""Types of completed values, none of which needs to be asked whether it is awaitable."""

_path = partial(tuple.__new__, Path)
"""What the constructor of a named tuple does, in half the time."""

_IMMUTABLE = (str, int, float, bool, type(None), Enum, UUID, date, datetime)


class PlainExecutor(Executor[None]):
    """Executes an operation as graphql-core does, for Strawberry's resolvers."""

    operation_extensions: dict[str, Any] | None = None

    build_resolve_info = strawberry_internals.build_resolve_info


class CompiledExecutor(PlainExecutor):
    """Executes an operation once, with what its variant knows, and learns what is not known yet."""

    variant: Variant

    def use(self, variant: Variant) -> None:
        """Execute with what is known of the operation."""
        self.variant = variant
        self._relevant_sub_fields = variant.sub_fields
        self._arguments: dict[int, dict[str, Any] | None] = {}

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
        steps = self.variant.steps.get(id(grouped_field_set))
        if steps is None:
            steps = self._learner().steps(parent_type, grouped_field_set)
        results: dict[str, Any] = {}
        waiting: list[str] = []
        try:
            for read, fields in steps:
                if read is not None:
                    try:
                        read(source_value, results)
                        continue
                    except Exception:  # noqa: S110 - what it is shows when done one by one
                        pass
                for key, details, known in fields:
                    field_path = _path((path, key, parent_type.name))
                    if known is None:
                        result = self.execute_field(
                            parent_type, source_value, details, field_path, None
                        )
                    else:
                        result = self._execute(known, source_value, field_path)
                    results[key] = result
                    if type(result) not in _COMPLETE and self.is_awaitable(result):
                        waiting.append(key)
        except Exception:
            if waiting:
                self.settle_in_background([results[key] for key in waiting])
            raise
        return self._await_all(results, waiting) if waiting else results

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: None,  # noqa: ARG002
    ) -> AwaitableOrValue[Any]:
        """Execute a field."""
        known = self.variant.fields.get(id(field_details_list))
        if known is None:
            known = self._learner().field(parent_type, field_details_list)
        return self._execute(known, source, path)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: None,  # noqa: ARG002
    ) -> AwaitableOrValue[Any]:
        """Complete the value of a field, or an item in it."""
        known = self.variant.fields.get(id(field_details_list))
        if known is not None and known.type is return_type:
            completed = self._complete(known, result, path)
            if completed is not Undefined:
                return completed
        return super().complete_value(return_type, field_details_list, info, path, result, None)

    def _execute(self, known: KnownField, source: Any, path: Path) -> AwaitableOrValue[Any]:
        """What graphql-core's ``execute_field`` does."""
        arguments = known.arguments
        if arguments is None:
            arguments = self._arguments_of(known)
        if arguments is None:
            return super().execute_field(known.parent, source, known.details, path, None)
        try:
            if known.attribute is not None:
                value = getattr(source, known.attribute)
            else:
                value = self._call(known, source, path, arguments)
            completed = self._complete(known, value, path)
            if completed is Undefined:
                if self.is_awaitable(value):
                    return self._await_value(value, known, path)
                completed = super().complete_value(
                    known.type, known.details, self._info(known, path), path, value, None
                )
            elif type(completed) in _COMPLETE or isinstance(known.type, GraphQLNonNull):
                # What is awaited here raises errors that are located, as they must be here too.
                return completed
            if self.is_awaitable(completed):
                return self._await(completed, known.type, known.details, path)
            return completed
        except Exception as error:
            self.handle_field_error(error, known.type, known.details, path)
            return None

    async def _await_value(self, value: Awaitable[Any], known: KnownField, path: Path) -> Any:
        """What graphql-core's ``complete_awaitable_value`` does."""
        try:
            found = await value
            completed = self._complete(known, found, path)
            if completed is Undefined:
                completed = super().complete_value(
                    known.type, known.details, self._info(known, path), path, found, None
                )
            if type(completed) in _COMPLETE or not self.is_awaitable(completed):
                return completed
            return await completed
        except Exception as error:
            self.handle_field_error(error, known.type, known.details, path)
            return None

    def _complete(self, known: KnownField, value: Any, path: Path) -> AwaitableOrValue[Any]:
        """Complete the value of a field by a short cut; Undefined without one."""
        if known.complete is not None:
            try:
                return known.complete(value)
            except Exception:  # noqa: S110 - what it is shows when done one by one
                pass
        objects = known.objects
        if objects is None:
            return Undefined
        if objects.item_type is None:
            selected = objects.selected(value)
            if selected is not None:
                return self.execute_fields(selected.kind, value, path, selected.fields, None)
        elif type(value) is list:
            return self._complete_list(known, objects, objects.item_type, value, path)
        return Undefined

    def _complete_list(
        self,
        known: KnownField,
        objects: Objects,
        item_type: GraphQLOutputType,
        items: list[Any],
        path: Path,
    ) -> AwaitableOrValue[list[Any]]:
        """What graphql-core's ``complete_iterable_value`` does."""
        results: list[Any] = []
        waiting: list[int] = []
        iterator = iter(items)
        try:
            for index, item in enumerate(iterator):
                item_path = _path((path, index, None))
                result = self._complete_item(known, objects, item_type, item, item_path)
                results.append(result)
                if type(result) not in _COMPLETE and self.is_awaitable(result):
                    waiting.append(index)
        except Exception:
            pending = [results[index] for index in waiting]
            pending += collect_iterator_awaitables(iterator, self.is_awaitable)
            if pending:
                self.settle_in_background(pending)
            raise
        return self._await_all(results, waiting) if waiting else results

    def _complete_item(
        self,
        known: KnownField,
        objects: Objects,
        item_type: GraphQLOutputType,
        item: Any,
        path: Path,
    ) -> AwaitableOrValue[Any]:
        try:
            selected = objects.selected(item)
            if selected is not None:
                result = self.execute_fields(selected.kind, item, path, selected.fields, None)
            else:
                info = self._info(known, path)
                if self.is_awaitable(item):
                    return self.complete_awaitable_list_item_value(
                        item, item_type, known.details, info, path, None
                    )
                result = super().complete_value(item_type, known.details, info, path, item, None)
            if type(result) not in _COMPLETE and self.is_awaitable(result):
                return self._await(result, item_type, known.details, path)
            return result
        except Exception as error:
            self.handle_field_error(error, item_type, known.details, path)
            return None

    async def _await(
        self,
        awaitable: Awaitable[Any],
        kind: GraphQLOutputType,
        details: FieldDetailsList,
        path: Path,
    ) -> Any:
        try:
            return await awaitable
        except Exception as error:
            self.handle_field_error(error, kind, details, path)
            return None

    async def _await_all(self, results: Any, waiting: list[Any]) -> Any:
        """Put what is awaited in place of what awaits it, in a list or a dict."""
        if len(waiting) == 1:
            results[waiting[0]] = await results[waiting[0]]
        else:
            done = await gather_with_cancel(*(results[place] for place in waiting))
            for place, result in zip(waiting, done, strict=True):
                results[place] = result
        return results

    def _call(self, known: KnownField, source: Any, path: Path, arguments: dict[str, Any]) -> Any:
        method = known.method
        assert method is not None
        if method.info_name is not None:
            arguments = {**arguments, method.info_name: method.make_info(self._info(known, path))}
        if method.source_names:
            arguments = {**arguments, **dict.fromkeys(method.source_names, source)}
        return method.call(source, **arguments) if method.takes_self else method.call(**arguments)

    def _info(self, known: KnownField, path: Path) -> GraphQLResolveInfo[Any]:
        info: GraphQLResolveInfo[Any] = self.build_resolve_info(
            known.definition, [*known.nodes], known.parent, path
        )
        return info

    def _arguments_of(self, known: KnownField) -> dict[str, Any] | None:
        """The keywords of the field's method, the same for every object; None without short cut.

        Keywords that a resolver could change are not shared: such a field has no short cut.
        """
        if known.method is None:
            return None
        place = id(known.details)
        if place not in self._arguments:
            self._arguments[place] = self._coerce(known, known.method)
        return self._arguments[place]

    def _coerce(self, known: KnownField, method: Method) -> dict[str, Any] | None:
        try:
            coerced = get_argument_values(
                known.definition, known.nodes[0], self.variable_values, None, self.hide_suggestions
            )
            if not all(isinstance(value, _IMMUTABLE) for value in coerced.values()):
                return None
            converted = method.convert(coerced)
            shared = all(isinstance(value, _IMMUTABLE) for value in converted.values())
            return converted if shared else None
        except Exception:
            # graphql-core's own way runs into the same, and reports it.
            return None

    def _learner(self) -> Learner:
        return Learner(
            self.schema,
            self.variant,
            lambda kind, details: self.collect_subfields(kind, details)[0],
        )
