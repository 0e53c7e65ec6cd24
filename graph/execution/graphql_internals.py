"""What the package uses of graphql-core beyond its documentation.

The methods that ``executor.CompiledExecutor`` overrides and calls are undocumented as well.
tests/graph/execution/test_graphql_internals.py checks both.
"""

from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
)
from graphql.execution.executor import collect_iterator_awaitables
from graphql.execution.get_variable_signature import (
    GraphQLVariableSignature,
    get_variable_signature,
)
from graphql.execution.values import VariableValueSource, input_is_nested_too_deeply
from graphql.pyutils import AwaitableOrValue, Path, gather_with_cancel
