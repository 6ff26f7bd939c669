from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

Document = dict[str, Any]


async def test_an_unordered_bulk_write_updates_replaces_and_deletes(
    mongomock_client: AsyncIOMotorClient[Document],
) -> None:
    things = mongomock_client["house"]["things"]
    await things.insert_many([{"_id": number, "state": "old"} for number in range(4)])
    result = await things.bulk_write(
        [
            UpdateOne({"_id": 0}, {"$set": {"state": "new"}}),
            ReplaceOne({"_id": 1}, {"state": "other"}),
            DeleteOne({"_id": 2}),
            UpdateOne({"_id": 9}, {"$set": {"state": "made"}}, upsert=True),
        ],
        ordered=False,
    )
    assert (result.modified_count, result.deleted_count, result.upserted_count) == (2, 1, 1)
    left = {thing["_id"]: thing["state"] async for thing in things.find({})}
    assert left == {0: "new", 1: "other", 3: "old", 9: "made"}


async def test_an_unordered_bulk_write_goes_on_after_an_error(
    mongomock_client: AsyncIOMotorClient[Document],
) -> None:
    things = mongomock_client["house"]["things"]
    await things.insert_one({"_id": 1})
    with pytest.raises(Exception, match="batch op errors occurred") as caught:
        await things.bulk_write([InsertOne({"_id": 1}), InsertOne({"_id": 2})], ordered=False)
    assert type(caught.value).__name__ == "BulkWriteError"
    assert await things.count_documents({}) == 2


async def test_a_sort_that_means_something_is_refused(
    mongomock_client: AsyncIOMotorClient[Document],
) -> None:
    things = mongomock_client["house"]["things"]
    with pytest.raises(NotImplementedError, match="sort"):
        await things.bulk_write([UpdateOne({}, {"$set": {"state": "new"}}, sort={"_id": 1})])
