"""Per request: what many fields ask for one by one is read in one batch, once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from strawberry.dataloader import DataLoader

from graph.core.metrics import BATCH_SIZE

if TYPE_CHECKING:
    from graph.core.context import Context

K = TypeVar("K")
T = TypeVar("T")


class Loaders:
    """The data loaders of one noun in one request; see ``Context.loaders``.

    A noun's subclass has them as methods that are ``batched``. Each batch opens its own unit of
    work.
    """

    def __init__(self, context: "Context") -> None:
        self.context = context


class batched(Generic[K, T]):  # noqa: N801 - a decorator
    """Makes a data loader of a method, which takes a list of keys and gives a value for each.

    How many keys a batch has is counted under the method's name.
    """

    def __init__(
        self, load: Callable[[Any, list[K]], Awaitable[Sequence[T | BaseException]]]
    ) -> None:
        self._load = load
        self._size = BATCH_SIZE.labels(load.__name__)
        self.__doc__ = load.__doc__

    def __get__(self, loaders: Loaders, _: type[Loaders]) -> DataLoader[K, T]:
        """The request's own loader, which takes the place of this one."""

        def load(keys: list[K]) -> Awaitable[Sequence[T | BaseException]]:
            self._size.observe(len(keys))
            return self._load(loaders, keys)

        found = loaders.__dict__[self._load.__name__] = DataLoader(load)
        return found
