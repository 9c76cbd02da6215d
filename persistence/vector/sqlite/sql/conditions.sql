-- name: agent
-- Of this agent.
m.agent_id = {value};

-- name: run
-- Of this run.
m.run_id = {value};

-- name: first
-- What stands at the top of the metadata.
json_each(m.metadata) AS {step};

-- name: next
-- What stands in the object one step above; nothing where it is none.
json_each(CASE {above}.type WHEN 'object' THEN {above}.value ELSE '{}' END) AS {step};

-- name: at
-- The way of one step.
{step}.key = {value};

-- name: exists
-- Something is at the path.
EXISTS (SELECT 1 FROM {steps} WHERE {way});

-- name: absent
-- Nothing is at the path.
NOT EXISTS (SELECT 1 FROM {steps} WHERE {way});

-- name: in
-- What is at the path is one of these. Numbers are equal whatever their kind, and a boolean is no number.
EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.value IS w.value
        AND CASE v.type WHEN 'real' THEN 'integer' ELSE v.type END = CASE w.type WHEN 'real' THEN 'integer' ELSE w.type END
);

-- name: ne
-- What is at the path is none of these, or nothing is there.
NOT EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.value IS w.value
        AND CASE v.type WHEN 'real' THEN 'integer' ELSE v.type END = CASE w.type WHEN 'real' THEN 'integer' ELSE w.type END
);

-- name: contains
-- The list at the path holds one of these.
EXISTS (
    SELECT 1
    FROM {steps}, json_each(CASE v.type WHEN 'array' THEN v.value ELSE '[]' END) AS i, json_each({value}) AS w
    WHERE {way} AND i.value IS w.value
        AND CASE i.type WHEN 'real' THEN 'integer' ELSE i.type END = CASE w.type WHEN 'real' THEN 'integer' ELSE w.type END
);

-- name: gt
-- What is at the path is greater: a number than a number, a text than a text.
EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.type IN ('integer', 'real', 'text') AND (v.type = 'text') = (w.type = 'text') AND v.value > w.value
);

-- name: gte
-- The same, or equal.
EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.type IN ('integer', 'real', 'text') AND (v.type = 'text') = (w.type = 'text') AND v.value >= w.value
);

-- name: lt
-- What is at the path is less.
EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.type IN ('integer', 'real', 'text') AND (v.type = 'text') = (w.type = 'text') AND v.value < w.value
);

-- name: lte
-- The same, or equal.
EXISTS (
    SELECT 1 FROM {steps}, json_each({value}) AS w
    WHERE {way} AND v.type IN ('integer', 'real', 'text') AND (v.type = 'text') = (w.type = 'text') AND v.value <= w.value
);
