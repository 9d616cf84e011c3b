INSERT INTO fence (key, number)
VALUES (:key, :fence)
ON CONFLICT (key) DO UPDATE
SET number = excluded.number
WHERE fence.number <= excluded.number;
