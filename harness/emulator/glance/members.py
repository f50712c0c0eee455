"""`/v2/images/{image_id}/members`: with whom a shared image is shared. Checked against glance 33.0.0 on 2026-11-22."""

from typing import Any

from falcon.asgi import Request, Response
from sqlalchemy import bindparam, delete, insert, select, update

from harness.emulator.database import DBDuplicateEntry, Statement
from harness.emulator.glance import faults, schema
from harness.emulator.glance.service import Resource, Row, may_change, moment
from harness.emulator.http import Caller

_members = schema.image_members
_ONE = (_members.c.image_id == bindparam("the_image"), _members.c.member == bindparam("the_member"))
_ALL = Statement(select(_members).where(_members.c.image_id == bindparam("image_id")).order_by(_members.c.created_at))
_ADD = Statement(insert(_members))
_CHANGE = Statement(update(_members).where(*_ONE))
_DELETE = Statement(delete(_members).where(*_ONE))


def _view(row: Row) -> dict[str, Any]:
    return {
        "member_id": row["member"],
        "image_id": row["image_id"],
        "status": row["status"],
        "created_at": f"{row['created_at'][:19]}Z",
        "updated_at": f"{row['updated_at'][:19]}Z",
        "schema": "/v2/schemas/member",
    }


class Members(Resource):
    """The members of one image; a member sees only itself."""

    async def on_get(self, req: Request, resp: Response, image_id: str) -> None:
        row = await self._shared(req, image_id, "list")
        caller: Caller = req.context.caller
        rows = await self.glance.database.fetch(_ALL, image_id=image_id)
        if not (caller.is_admin or row["owner"] == caller.project_id):
            rows = [one for one in rows if one["member"] == caller.project_id]
        self.app.json(resp, {"members": [_view(one) for one in rows], "schema": "/v2/schemas/members"})

    async def on_post(self, req: Request, resp: Response, image_id: str) -> None:
        row = await self._shared(req, image_id, "create")
        if not may_change(req.context.caller, row):
            raise faults.forbidden("add_member")
        project = (await self.document(req)).get("member")
        if not isinstance(project, str) or not project:
            raise faults.refuse(400, "Member can't be empty" if project == "" else "Member to be added not specified")
        now = moment()
        values = {"image_id": image_id, "member": project, "created_at": now, "updated_at": now, "status": "pending"}
        try:
            await self.glance.database.execute(_ADD, **values)
        except DBDuplicateEntry:
            raise faults.refuse(409, f"Member {project} is duplicated for image {image_id}") from None
        self.app.json(resp, _view(values))

    async def _shared(self, req: Request, image_id: str, action: str) -> Row:
        row = await self.glance.visible(
            req.context.caller, image_id, faults.refuse(404, f"Image {image_id} not found.")
        )
        if row["visibility"] != "shared":
            if action == "create":
                raise faults.refuse(403, f"Not allowed to create members for image {image_id}.")
            raise faults.refuse(
                403, f"Not allowed to {action} members for image {image_id}: Only shared images have members."
            )
        return row


class Member(Resource):
    """One membership: its owner makes and ends it, the member accepts or rejects it."""

    async def on_get(self, req: Request, resp: Response, image_id: str, member_id: str) -> None:
        self.app.json(resp, _view((await self._row(req, image_id, member_id))[1]))

    async def on_put(self, req: Request, resp: Response, image_id: str, member_id: str) -> None:
        _image, row = await self._row(req, image_id, member_id)
        caller: Caller = req.context.caller
        if not (caller.is_admin or caller.project_id == member_id):
            raise faults.forbidden("modify_member")
        status = (await self.document(req)).get("status")
        if status is None:
            raise faults.refuse(400, "Status not specified")
        if status not in ("pending", "accepted", "rejected"):
            raise faults.refuse(400, 'Incorrect request: Status must be "pending", "accepted" or "rejected".')
        values = {"status": status, "updated_at": moment()}
        await self.glance.database.execute(_CHANGE, the_image=image_id, the_member=member_id, **values)
        self.app.json(resp, _view({**row, **values}))

    async def on_delete(self, req: Request, resp: Response, image_id: str, member_id: str) -> None:
        image, _row = await self._row(req, image_id, member_id)
        if not may_change(req.context.caller, image):
            raise faults.forbidden("delete_member")
        await self.glance.database.execute(_DELETE, the_image=image_id, the_member=member_id)
        self.nothing(resp)

    async def _row(self, req: Request, image_id: str, member_id: str) -> tuple[Row, Row]:
        image = await self.glance.visible(
            req.context.caller, image_id, faults.refuse(404, f"Image {image_id} not found.")
        )
        caller: Caller = req.context.caller
        row = await self.glance.member(image_id, member_id)
        if row is None or not (caller.is_admin or caller.project_id in (image["owner"], member_id)):
            raise faults.refuse(404, f"{member_id} not found in the member list of the image {image_id}.")
        return image, row
